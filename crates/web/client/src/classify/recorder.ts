// Recording a clip: start, watch the waveform grow, stop; then it is classified
// at once or, if the box is not ticked, waits to be listened to first.
import { Player } from "../sound/player";
import { drawWave } from "../sound/timeview";
import { BYTES_PER_SAMPLE, encodeWav } from "../sound/wav";
import { find, icon, replace } from "../ui/dom";
import { download, stamp } from "../ui/download";
import { clock } from "../ui/format";
import { onThemeChange } from "../ui/theme";
import { longestRecording } from "./limits";
import type { Microphone, MicrophoneUser } from "./microphone";

/** Peaks per second of the growing waveform. */
const PEAKS_PER_SECOND = 60;
const SHOWN_SECONDS = 10;

type State = "ready" | "opening" | "recording" | "ending";

export class Recorder implements MicrophoneUser {
  readonly #button = find<HTMLButtonElement>("#record");
  readonly #clock = find("#record-clock");
  readonly #canvas = find<HTMLCanvasElement>("#record-wave");
  readonly #after = find("#record-after");
  readonly #atOnce = find<HTMLInputElement>("#record-at-once");
  readonly #status = find("#record-status");
  #blocks: Float32Array[] = [];
  #nSamples = 0;
  #rate = 0;
  #peaks: [number, number][] = [];
  #state: State = "ready";
  /** It went on for as long as the server takes. */
  #full = false;
  #clip: Blob | undefined;
  #name = "";
  #player: Player | undefined;

  constructor(readonly microphone: Microphone, readonly answer: (clip: Blob, name: string) => void) {
    this.#button.disabled = !microphone.possible;
    this.#button.addEventListener("click", () => void (this.isRecording ? this.stop() : this.#start()));
    find("#record-classify").addEventListener("click", () => this.#clip && this.answer(this.#clip, this.#name));
    find("#record-download").addEventListener("click", () => this.#clip && download(this.#clip, this.#name));
    find("#record-listen").addEventListener("click", () => this.#player?.toggle());
    this.#atOnce.addEventListener("change", () => this.#show());
    this.#show();
    onThemeChange(() => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(this.#canvas);
  }

  /** Whether leaving the page would lose a recording. */
  get isRecording(): boolean {
    return this.#state === "recording";
  }

  async #start(): Promise<void> {
    if (this.#state !== "ready") return;
    this.#state = "opening";
    this.#show();
    const capture = await this.microphone.open(this);
    this.#state = capture ? "recording" : "ready";
    if (!capture) return this.#show();
    this.#player?.close();
    this.#blocks = [];
    this.#peaks = [];
    this.#nSamples = 0;
    this.#clip = undefined;
    this.#full = false;
    this.#rate = capture.rate;
    this.#show();
    this.#follow();
  }

  /** Ends a recording, or the wish for one that the browser still asks about. */
  async stop(): Promise<void> {
    if (this.#state === "opening") return this.microphone.close(this);
    if (this.#state !== "recording") return;
    this.#state = "ending";
    await this.microphone.close(this);
    this.#state = "ready";
    if (this.#nSamples > 0) {
      this.#clip = encodeWav(this.#blocks, this.#rate);
      this.#name = `recording-${stamp()}.wav`;
      // The server listens while this page draws.
      if (this.#atOnce.checked) this.answer(this.#clip, this.#name);
      this.#player = new Player(this.#clip);
      this.#player.onState(() => this.#showListen());
    }
    this.#blocks = [];
    this.#show();
  }

  take(samples: Float32Array): void {
    if (this.#full) return;
    if (this.#rate > 0 && this.#nSamples + samples.length > longestRecording(this.#rate, BYTES_PER_SAMPLE)) {
      this.#full = true;
      void this.stop();
      return;
    }
    this.#blocks.push(samples);
    this.#nSamples += samples.length;
    const stretch = Math.max(1, Math.round(this.#rate / PEAKS_PER_SECOND));
    for (let from = 0; from < samples.length; from += stretch) {
      let [low, high] = [0, 0];
      for (let i = from; i < Math.min(from + stretch, samples.length); i += 1) {
        const sample = samples[i] ?? 0;
        if (sample < low) low = sample;
        if (sample > high) high = sample;
      }
      this.#peaks.push([low, high]);
    }
  }

  get #seconds(): number {
    return this.#rate > 0 ? this.#nSamples / this.#rate : 0;
  }

  #follow(): void {
    if (!this.isRecording) return;
    this.#clock.textContent = tenths(this.#seconds);
    this.#draw();
    requestAnimationFrame(() => this.#follow());
  }

  /** While recording the newest seconds run through; afterwards the whole clip is shown. */
  #draw(): void {
    const width = this.#canvas.clientWidth;
    const height = this.#canvas.clientHeight;
    const context = this.#canvas.getContext("2d");
    if (width === 0 || !context) return;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    if (!this.isRecording || this.#seconds === 0) {
      drawWave(context, this.#peaks, { left: 0, width }, height);
      return;
    }
    const perSecond = this.#peaks.length / this.#seconds;
    const shown = this.#peaks.slice(-Math.ceil(SHOWN_SECONDS * perSecond));
    const share = shown.length / (SHOWN_SECONDS * perSecond);
    drawWave(context, shown, { left: 0, width: width * Math.min(1, share) }, height, "--bad");
  }

  #show(): void {
    const on = this.isRecording;
    this.#button.classList.toggle("on", on);
    this.#button.setAttribute("aria-label", on ? "Stop recording" : "Record");
    this.#status.textContent = on ? "Recording" : this.#state === "opening" ? "Waiting for the microphone…" : this.#full ? "Stopped: this is the longest that the server takes" : this.#clip ? "Recorded" : "Ready to record";
    this.#clock.textContent = tenths(this.#seconds);
    this.#after.hidden = on || !this.#clip;
    find("#record-classify").hidden = this.#atOnce.checked;
    this.#showListen();
    this.#draw();
  }

  #showListen(): void {
    const playing = this.#player?.playing ?? false;
    replace(find("#record-listen"), icon(playing ? "pause" : "play"), playing ? "Pause" : "Listen");
  }
}

function tenths(seconds: number): string {
  return `${clock(seconds)}.${Math.floor((seconds % 1) * 10)}`;
}
