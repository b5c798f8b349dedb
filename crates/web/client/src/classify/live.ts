// Listening live: the microphone's samples go to the server over a WebSocket and
// pictures and answers come back. When the server or the network is slower than
// the sound, sound is left out and the page says so; nothing piles up.
import { ApiError, currentModel, inWords } from "../api";
import type { LiveMessage, Model, Scored } from "../contract";
import type { Capture } from "../sound/capture";
import { bar, find, h, icon, replace } from "../ui/dom";
import { clock, percent, title } from "../ui/format";
import { classColor } from "../ui/theme";
import { modelName } from "./answer";
import type { Microphone, MicrophoneUser } from "./microphone";
import { Scroll } from "./scroll";
import { Timeline } from "./timeline";

/** This much may wait to be sent before the connection counts as too slow. */
const MOST_WAITING_SECONDS = 3;
const RECONNECT_MS = 1000;
const TOP = 5;

type State = "ready" | "opening" | "on" | "ending";

export class Live implements MicrophoneUser {
  readonly #button = find<HTMLButtonElement>("#live");
  readonly #clock = find("#live-clock");
  readonly #status = find("#live-status");
  readonly #now = find("#live-now");
  readonly #dropped = find("#live-dropped");
  readonly #save = find<HTMLButtonElement>("#live-save");
  readonly #scroll = new Scroll(find<HTMLCanvasElement>("#live-scroll"));
  readonly #timeline: Timeline;
  #capture: Capture | undefined;
  #socket: WebSocket | undefined;
  #model: Model | undefined;
  #state: State = "ready";
  #startedAt = new Date();
  #nSamples = 0;
  /** Where the present connection began, in seconds of listening. */
  #base = 0;
  /** Whether there has been a connection since the start. */
  #connected = false;
  /** Whether the server answers at present. */
  #hearing = false;
  #retry = 0;
  #lostSeconds = 0;
  #marked = 0;
  #bars: { row: HTMLElement; label: HTMLElement; fill: HTMLElement; share: HTMLElement }[] = [];

  constructor(readonly microphone: Microphone, readonly modelChanged: (model: Model) => void) {
    this.#timeline = new Timeline(find("#live-timeline"), find("#live-saying"), () => this.#startedAt, () => this.#model);
    this.#button.disabled = !microphone.possible;
    this.#button.addEventListener("click", () => void (this.#on ? this.stop() : this.#start()));
    this.#save.addEventListener("click", () => this.#timeline.save());
    this.#show("Ready to listen");
  }

  get #on(): boolean {
    return this.#state === "on";
  }

  async #start(): Promise<void> {
    if (this.#state !== "ready") return;
    this.#state = "opening";
    this.#show("Waiting for the microphone…");
    const capture = await this.microphone.open(this);
    this.#state = capture ? "on" : "ready";
    if (!capture) return this.#show("Ready to listen");
    this.#capture = capture;
    this.#nSamples = 0;
    this.#base = 0;
    this.#connected = false;
    this.#lostSeconds = 0;
    this.#startedAt = new Date();
    this.#dropped.hidden = true;
    this.#scroll.clear();
    this.#timeline.clear();
    this.#marked = 0;
    find("#live-heard").hidden = true;
    this.#show("Connecting…");
    this.#connect();
    this.#follow();
  }

  /** Ends the listening, or the wish for it that the browser still asks about. */
  async stop(): Promise<void> {
    if (this.#state === "opening") return this.microphone.close(this);
    if (!this.#on) return;
    this.#state = "ending";
    clearTimeout(this.#retry);
    await this.microphone.close(this);
    this.#capture = undefined;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type":"stop"}');
    else this.#socket?.close();
    this.#state = "ready";
    this.#show("Stopped");
  }

  #connect(): void {
    if (!this.#on || !this.#capture) return;
    const rate = this.#capture.rate;
    const address = new URL(`/api/v1/live?rate=${rate}`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      this.#base = this.#nSamples / rate;
      this.#connected = true;
    });
    socket.addEventListener("message", (event) => {
      if (this.#socket === socket) this.#hear(JSON.parse(String(event.data)) as LiveMessage);
    });
    socket.addEventListener("close", () => {
      if (this.#socket !== socket || !this.#on) return;
      if (this.#hearing) this.#timeline.note(`The connection was lost at ${clock(this.#nSamples / rate)}`);
      this.#hearing = false;
      this.#show(this.#connected ? "The connection was lost; trying again…" : "The server does not answer; trying again…");
      void this.#askWhy();
      this.#retry = setTimeout(() => this.#connect(), RECONNECT_MS);
    });
  }

  /** Browsers do not tell why a WebSocket was refused; another question may hear it. */
  async #askWhy(): Promise<void> {
    const why: unknown = await currentModel().catch((error: unknown) => error);
    if (why instanceof ApiError && why.isRefusal && this.#on) this.#giveUp(why.message);
  }

  #giveUp(why: string): void {
    void this.stop().then(() => this.#show(why, true));
  }

  take(samples: Float32Array<ArrayBuffer>): void {
    const rate = this.#capture?.rate ?? 48_000;
    this.#nSamples += samples.length;
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      // Before the first connection nothing is lost: listening begins with it.
      if (this.#connected) this.#lose(samples.length / rate);
      return;
    }
    if (socket.bufferedAmount > MOST_WAITING_SECONDS * rate * 4) {
      this.#lose(socket.bufferedAmount / 4 / rate);
      this.#timeline.note("The network was too slow; listening began again");
      this.#hearing = false;
      socket.close();
      return;
    }
    socket.send(samples);
  }

  #hear(message: LiveMessage): void {
    switch (message.type) {
      case "ready":
        this.#hearing = true;
        this.#useModel(message.model);
        this.#show("Listening");
        break;
      case "columns":
        this.#scroll.addColumns(this.#base + message.start_seconds, message.hop_seconds, message.n_mels, message.data);
        break;
      case "window": {
        const best = message.predictions[0];
        const mark = { from: this.#base + message.start_seconds, to: this.#base + message.end_seconds, label: best?.label, probability: best?.probability ?? 0, accepted: message.accepted };
        this.#showNow(message.predictions, message.accepted);
        this.#scroll.addMark(this.#onlyNew(mark));
        this.#timeline.add(mark);
        find("#live-heard").hidden = this.#timeline.isEmpty;
        break;
      }
      case "dropped":
        this.#lose(message.seconds);
        this.#scroll.addMark({ from: this.#base + message.start_seconds, to: this.#base + message.start_seconds + message.seconds, label: undefined, probability: 0, accepted: false });
        break;
      case "model":
        this.#useModel(message.model);
        this.#timeline.note(`From here on ${modelName(message.model)} answers`);
        break;
      case "error":
        this.#giveUp(inWords(message.error));
        break;
    }
  }

  /** Windows overlap; in the lane each shows only what the one before it did not. */
  #onlyNew<T extends { from: number; to: number }>(mark: T): T {
    const from = mark.from < this.#marked && mark.to > this.#marked ? this.#marked : mark.from;
    this.#marked = mark.to;
    return { ...mark, from };
  }

  #useModel(model: Model): void {
    this.#model = model;
    this.#scroll.setModel(model);
    this.modelChanged(model);
  }

  #lose(seconds: number): void {
    this.#lostSeconds += seconds;
    this.#dropped.hidden = false;
    this.#dropped.textContent = `${this.#lostSeconds.toFixed(1)} s left out: the server or the network did not keep up`;
  }

  #showNow(predictions: Scored[], accepted: boolean): void {
    const best = predictions[0];
    const name = find("#live-name");
    name.textContent = accepted && best ? title(best.label) : "Unknown";
    name.classList.toggle("unknown", !accepted);
    const shown = predictions.slice(0, TOP);
    // Another model may know fewer sounds.
    for (const { row } of this.#bars.splice(shown.length)) row.remove();
    shown.forEach(({ label, probability }, number) => {
      const row = (this.#bars[number] ??= this.#addBar());
      row.label.textContent = title(label);
      row.share.textContent = percent(probability);
      row.fill.style.setProperty("--fill", String(probability));
      row.fill.style.setProperty("--bar", classColor(this.#model?.labels.indexOf(label) ?? 0));
    });
  }

  #addBar(): { row: HTMLElement; label: HTMLElement; fill: HTMLElement; share: HTMLElement } {
    const [label, fill, share] = [h("dt"), bar(0), h("dd", { class: "num" })];
    const row = h("div", {}, label, h("dd", {}, fill), share);
    find("#live-bars").append(row);
    return { row, label, fill, share };
  }

  #follow(): void {
    if (!this.#on) return;
    this.#clock.textContent = clock(this.#nSamples / (this.#capture?.rate ?? 48_000));
    requestAnimationFrame(() => this.#follow());
  }

  #show(status: string, problem = false): void {
    this.#status.textContent = status;
    this.#status.classList.toggle("field-error", problem);
    this.#button.classList.toggle("on", this.#on);
    replace(this.#button, icon(this.#on ? "stop" : "mic"), this.#on ? "Stop listening" : "Start listening");
    this.#now.classList.toggle("idle", !this.#on);
  }
}
