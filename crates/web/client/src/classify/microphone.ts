// The microphone's corner, shared by recording and live listening: which device,
// its rate, how loud it is, and what to do when there is none. One user has it at a
// time, from the moment it asks: whoever leaves or is followed by another has neither
// sound nor a question of the browser's that could still become sound.
import { type Capture, CaptureError, microphones, obstacle, openMicrophone } from "../sound/capture";
import { find, h, replace } from "../ui/dom";
import { kilohertz } from "../ui/format";

const KEY = "biophony.microphone";
const FLOOR_DB = -60;
const SILENT_AFTER_MS = 2500;

export interface MicrophoneUser {
  take(samples: Float32Array<ArrayBuffer>): void;
  /** The microphone is gone, or another has it now. */
  stop(): Promise<void>;
}

/** One use of the microphone, which begins before the browser gives it. */
interface Turn {
  readonly user: MicrophoneUser;
  readonly wish: AbortController;
  capture: Capture | undefined;
}

export class Microphone {
  readonly #select = find<HTMLSelectElement>("#mic-device");
  readonly #meter = find("#mic-level");
  readonly #note = find("#mic-note");
  readonly #rate = find("#mic-rate");
  readonly #problem = find("#mic-problem");
  #turn: Turn | undefined;
  /** When the turn before has given the device back. */
  #ended = Promise.resolve();
  #level = FLOOR_DB;
  #heardAt = 0;
  #clippedAt = 0;
  #frame = 0;

  constructor() {
    this.#select.addEventListener("change", () => remember(this.#select.value));
    const problem = obstacle();
    if (problem) {
      this.#show(problem);
      this.#select.disabled = true;
      return;
    }
    void this.#list();
    navigator.mediaDevices.addEventListener("devicechange", () => void this.#list());
  }

  /** Whether recording is possible at all on this page. */
  get possible(): boolean {
    return obstacle() === undefined;
  }

  /** Opens the chosen device; `undefined` comes back when it was closed meanwhile, or refused, which the page then explains. */
  async open(user: MicrophoneUser): Promise<Capture | undefined> {
    const before = this.#turn;
    const turn: Turn = { user, wish: new AbortController(), capture: undefined };
    this.#turn = turn;
    if (before) {
      this.#end(before);
      void before.user.stop();
    }
    await this.#ended;
    if (turn !== this.#turn) return undefined;
    this.#problem.hidden = true;
    try {
      turn.capture = await this.#ask(turn);
    } catch (error) {
      if (turn === this.#turn) {
        this.#turn = undefined;
        this.#show(error instanceof CaptureError ? error : new CaptureError("failed", "Recording could not start", String(error)));
      }
      return undefined;
    }
    if (turn !== this.#turn) {
      // Called off in the very moment in which it was given.
      this.#ended = turn.capture.stop();
      return undefined;
    }
    this.#select.disabled = true;
    this.#rate.textContent = `${kilohertz(turn.capture.rate)}, as the device gives it`;
    this.#heardAt = performance.now();
    this.#follow();
    void this.#list();
    return turn.capture;
  }

  /** Ends this user's turn, where it has one: it gets no sound after this. */
  async close(user: MicrophoneUser): Promise<void> {
    const turn = this.#turn;
    if (turn?.user !== user) return;
    this.#turn = undefined;
    this.#end(turn);
    await this.#ended;
  }

  /** The device; or a failure as soon as the turn ends, however long people think about the browser's question. */
  #ask(turn: Turn): Promise<Capture> {
    const { user, wish } = turn;
    const calledOff = new Promise<never>((_, reject) => wish.signal.addEventListener("abort", () => reject(wish.signal.reason as Error)));
    const opened = openMicrophone(
      this.#select.value,
      (samples) => {
        this.#measure(samples);
        user.take(samples);
      },
      () => {
        this.#show(new CaptureError("no-device", "The microphone is gone", "It was unplugged or switched off. What was heard until then is kept."));
        void user.stop();
      },
      wish.signal,
    );
    return Promise.race([opened, calledOff]);
  }

  #end(turn: Turn): void {
    cancelAnimationFrame(this.#frame);
    this.#setLevel(FLOOR_DB);
    this.#note.textContent = "";
    this.#select.disabled = !this.possible;
    if (turn.capture) this.#ended = turn.capture.stop();
    else turn.wish.abort();
  }

  async #list(): Promise<void> {
    const devices = await microphones();
    const wanted = this.#select.value || recall();
    // Browsers tell devices apart only once the microphone was allowed.
    replace(this.#select,
      h("option", { value: "" }, "The system's microphone"),
      devices.filter((device) => device.deviceId !== "default").map((device, number) => h("option", { value: device.deviceId }, device.label || `Microphone ${number + 1}`)));
    if (devices.some((device) => device.deviceId === wanted)) this.#select.value = wanted;
  }

  #measure(samples: Float32Array): void {
    let peak = 0;
    for (const sample of samples) {
      const size = Math.abs(sample);
      if (size > peak) peak = size;
    }
    const level = Math.max(FLOOR_DB, 20 * Math.log10(peak || 1e-9));
    this.#level = Math.max(level, this.#level - 1.2);
    const now = performance.now();
    if (peak > 1e-4) this.#heardAt = now;
    if (peak > 0.985) this.#clippedAt = now;
  }

  #follow(): void {
    this.#setLevel(this.#level);
    const now = performance.now();
    const note = now - this.#heardAt > SILENT_AFTER_MS ? "Nothing is coming in. Is the microphone muted?" : now - this.#clippedAt < 1500 && this.#clippedAt > 0 ? "Too loud: it clips" : "";
    if (this.#note.textContent !== note) this.#note.textContent = note;
    this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #setLevel(level: number): void {
    this.#meter.style.setProperty("--fill", String(1 - level / FLOOR_DB));
    this.#meter.classList.toggle("hot", level > -3);
    this.#meter.setAttribute("aria-valuenow", level.toFixed(0));
  }

  #show(problem: CaptureError): void {
    this.#problem.dataset["problem"] = problem.problem;
    replace(this.#problem, h("strong", {}, problem.heading), h("p", {}, problem.message));
    this.#problem.hidden = false;
  }
}

function remember(device: string): void {
  try {
    localStorage.setItem(KEY, device);
  } catch {
    // Then it is chosen anew next time.
  }
}

function recall(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
