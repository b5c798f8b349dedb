// Playing one clip. The sound is attached at the first press, not before: most
// answers are never listened to. Only one clip sounds at a time.

export class Player {
  readonly #audio = new Audio();
  #url: string | undefined;
  #listeners: ((time: number) => void)[] = [];
  #stateListeners: (() => void)[] = [];
  #failed = false;
  static #sounding: Player | undefined;

  constructor(readonly clip: Blob | undefined) {
    for (const name of ["play", "pause", "ended"]) this.#audio.addEventListener(name, () => this.#tellState());
    this.#audio.addEventListener("seeked", () => this.#tellTime());
    this.#audio.addEventListener("error", () => {
      this.#failed = true;
      this.#tellState();
    });
  }

  get time(): number {
    return this.#audio.currentTime;
  }

  get playing(): boolean {
    return !this.#audio.paused && !this.#audio.ended;
  }

  /** False when there is no sound (any more) or the browser cannot play it. */
  get playable(): boolean {
    return this.clip !== undefined && !this.#failed;
  }

  onTime(listener: (time: number) => void): void {
    this.#listeners.push(listener);
  }

  onState(listener: () => void): void {
    this.#stateListeners.push(listener);
  }

  toggle(): void {
    if (this.playing) this.#audio.pause();
    else this.playFrom(this.#audio.ended ? 0 : this.time);
  }

  seek(time: number): void {
    this.#attach();
    this.#audio.currentTime = time;
    this.#tellTime();
  }

  playFrom(time: number): void {
    if (!this.playable) return;
    this.#attach();
    if (Player.#sounding !== this) Player.#sounding?.pause();
    Player.#sounding = this;
    if (Math.abs(this.time - time) > 0.005) this.#audio.currentTime = time;
    void this.#audio.play().then(() => this.#follow(), () => this.#tellState());
  }

  pause(): void {
    this.#audio.pause();
  }

  /** Gives the memory of the clip back. */
  close(): void {
    this.#audio.pause();
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = undefined;
  }

  #attach(): void {
    if (this.#url || !this.clip) return;
    this.#url = URL.createObjectURL(this.clip);
    this.#audio.src = this.#url;
  }

  #follow(): void {
    this.#tellTime();
    if (this.playing) requestAnimationFrame(() => this.#follow());
  }

  #tellTime(): void {
    for (const listener of this.#listeners) listener(this.time);
  }

  #tellState(): void {
    for (const listener of this.#stateListeners) listener();
  }
}
