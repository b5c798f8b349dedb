// A clip on one time axis: waveform, spectrogram as the model sees it, and the
// windows that were scored, with a playhead over all of them.
//
// Drawn here rather than by wavesurfer: the peaks and the spectrogram come from
// the server (which decodes what browsers cannot: AIFF, ADPCM, …), the lanes
// share one axis and the theme's colors, and it weighs 3 KB instead of 10. Playing
// is in player.ts; colors of loudness in colormap.ts.
import type { Answer, ScoredWindow, Spectrogram } from "../contract";
import { h } from "../ui/dom";
import { clock, percent, title } from "../ui/format";
import { classColor, color, onThemeChange } from "../ui/theme";
import { timeLabel, timeStep } from "./axis";
import { colormap, fromBase64 } from "./colormap";
import { frequencyTicks } from "./mel";
import type { Player } from "./player";

const WAVE = 56;
const SPECTROGRAM = 168;
const ROW = 24;
const AXIS = 22;
const GAP = 6;
const MAX_ROWS = 3;

export class TimeView {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { "aria-hidden": "true" });
  readonly #head = h("div", { class: "tv-head", "aria-hidden": "true" });
  readonly #hover = h("div", { class: "tv-hover", "aria-hidden": "true" }, h("span"));
  readonly #surface: HTMLElement;
  readonly #rows: { window: ScoredWindow; row: number }[];
  readonly #nRows: number;
  #picture: { canvas: HTMLCanvasElement; table: Uint32Array } | undefined;
  #width = 0;

  constructor(readonly answer: Answer, readonly player: Player) {
    const placed = intoRows(answer.windows);
    this.#rows = placed.rows;
    this.#nRows = placed.nRows;
    const seconds = this.#seconds;
    this.#surface = h(
      "div",
      { class: "tv-surface", role: "slider", tabindex: "0", "aria-label": "Position in the clip; space plays and pauses", "aria-valuemin": "0", "aria-valuemax": seconds.toFixed(1), "aria-valuenow": "0" },
      this.#canvas, this.#head, this.#hover,
    );
    this.element = h("div", { class: "timeview" }, this.#surface);
    this.#surface.style.height = `${this.#height}px`;
    this.#listen();
    player.onTime((time) => this.#showTime(time));
    onThemeChange(() => this.#draw());
    new ResizeObserver(() => {
      if (this.#surface.clientWidth !== this.#width) this.#draw();
    }).observe(this.#surface);
    this.#showTime(0);
  }

  /** Draws now instead of at the next frame, when the element is in the page. */
  drawNow(): void {
    this.#draw();
  }

  get #seconds(): number {
    return Math.max(0.01, this.answer.clip.duration_seconds);
  }

  get #height(): number {
    return WAVE + GAP + SPECTROGRAM + GAP + this.#nRows * ROW + AXIS;
  }

  get #gutter(): number {
    return this.#width < 480 ? 30 : 40;
  }

  #draw(): void {
    this.#width = this.#surface.clientWidth;
    if (this.#width === 0) return;
    const scale = devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#width * scale);
    this.#canvas.height = Math.round(this.#height * scale);
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    context.scale(scale, scale);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const left = this.#gutter;
    const plot = { left, width: this.#width - left };
    drawWave(context, this.answer.view?.peaks ?? [], plot);
    const spectrogram = this.answer.view?.spectrogram;
    if (spectrogram) this.#drawSpectrogram(context, spectrogram, plot);
    this.#drawWindows(context, plot);
    this.#drawAxis(context, plot);
    this.#showTime(this.player.time);
  }

  #drawSpectrogram(context: CanvasRenderingContext2D, spectrogram: Spectrogram, plot: Plot): void {
    const top = WAVE + GAP;
    const table = colormap();
    if (this.#picture?.table !== table) this.#picture = { canvas: picture(spectrogram, table), table };
    context.fillStyle = color("--sunken");
    context.fillRect(plot.left, top, plot.width, SPECTROGRAM);
    context.imageSmoothingQuality = "high";
    const share = Math.min(1.02, (spectrogram.n_frames * spectrogram.hop_seconds) / this.#seconds);
    context.save();
    context.beginPath();
    context.roundRect(plot.left, top, plot.width, SPECTROGRAM, 6);
    context.clip();
    context.drawImage(this.#picture.canvas, plot.left, top, plot.width * share, SPECTROGRAM);
    context.restore();
    context.fillStyle = color("--ink-3");
    context.textAlign = "right";
    for (const tick of frequencyTicks(spectrogram.fmin_hz, spectrogram.fmax_hz, spectrogram.mel_scale)) {
      const y = top + SPECTROGRAM * (1 - tick.share);
      context.fillText(tick.text, plot.left - 6, y);
    }
    context.fillText("Hz", plot.left - 6, top + SPECTROGRAM - 5);
  }

  #drawWindows(context: CanvasRenderingContext2D, plot: Plot): void {
    const top = WAVE + SPECTROGRAM + 2 * GAP;
    const labels = this.answer.model.labels;
    context.textAlign = "left";
    for (const { window, row } of this.#rows) {
      const best = window.predictions[0];
      if (!best) continue;
      const x = plot.left + (window.start_seconds / this.#seconds) * plot.width;
      const right = plot.left + Math.min(1, window.end_seconds / this.#seconds) * plot.width;
      const y = top + row * ROW;
      const width = Math.max(1, right - x - 1.5);
      const tint = classColor(labels.indexOf(best.label));
      context.globalAlpha = 0.14 + 0.2 * best.probability;
      context.fillStyle = tint;
      context.beginPath();
      context.roundRect(x, y, width, ROW - 4, 5);
      context.fill();
      context.globalAlpha = 1;
      context.fillRect(x, y + 3, Math.min(3, width), ROW - 10);
      const text = fitting(context, [`${title(best.label)} ${percent(best.probability)}`, title(best.label)], width - 14);
      context.fillStyle = color("--ink");
      if (text) context.fillText(text, x + 9, y + (ROW - 4) / 2 + 0.5);
    }
  }

  #drawAxis(context: CanvasRenderingContext2D, plot: Plot): void {
    const top = this.#height - AXIS;
    const step = timeStep(this.#seconds, plot.width, 58);
    context.fillStyle = color("--ink-3");
    context.strokeStyle = color("--line-2");
    context.beginPath();
    for (let number = 0; number * step <= this.#seconds + 1e-6; number += 1) {
      const time = number * step;
      const x = plot.left + (time / this.#seconds) * plot.width;
      context.moveTo(Math.round(x) + 0.5, top + 1);
      context.lineTo(Math.round(x) + 0.5, top + 5);
      const text = timeLabel(time, step);
      const half = context.measureText(text).width / 2;
      context.textAlign = "center";
      context.fillText(text, Math.min(Math.max(x, plot.left + half), plot.left + plot.width - half), top + 14);
    }
    context.stroke();
  }

  #listen(): void {
    const timeAt = (event: PointerEvent): number => {
      const box = this.#surface.getBoundingClientRect();
      const share = (event.clientX - box.left - this.#gutter) / Math.max(1, box.width - this.#gutter);
      return Math.min(1, Math.max(0, share)) * this.#seconds;
    };
    this.#surface.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.player.playFrom(timeAt(event));
    });
    this.#surface.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch") return;
      const time = timeAt(event);
      this.#hover.style.transform = `translateX(${this.#x(time)}px)`;
      this.#hover.classList.toggle("leftwards", time > this.#seconds * 0.8);
      const note = this.#hover.firstElementChild;
      if (note) note.textContent = this.#describe(time);
      this.#hover.classList.add("on");
    });
    this.#surface.addEventListener("pointerleave", () => this.#hover.classList.remove("on"));
    this.#surface.addEventListener("keydown", (event) => {
      const small = Math.max(0.1, this.#seconds / 100);
      const by = { ArrowRight: small, ArrowUp: small, ArrowLeft: -small, ArrowDown: -small, PageUp: this.#seconds / 10, PageDown: -this.#seconds / 10, Home: -Infinity, End: Infinity }[event.key];
      if (by !== undefined) this.player.seek(Math.min(this.#seconds, Math.max(0, this.player.time + by)));
      else if (event.key === " " || event.key === "Enter") this.player.toggle();
      else return;
      event.preventDefault();
    });
  }

  #describe(time: number): string {
    const there = this.answer.windows.filter((window) => window.start_seconds <= time && time < window.end_seconds);
    const best = there[0]?.predictions[0];
    return `${time.toFixed(2)} s${best ? ` · ${title(best.label)} ${percent(best.probability)}` : ""}`;
  }

  #x(time: number): number {
    return this.#gutter + (time / this.#seconds) * (this.#width - this.#gutter);
  }

  #showTime(time: number): void {
    this.#head.style.transform = `translateX(${this.#x(Math.min(time, this.#seconds))}px)`;
    this.#head.classList.toggle("on", time > 0);
    this.#surface.setAttribute("aria-valuenow", time.toFixed(1));
    this.#surface.setAttribute("aria-valuetext", `${clock(time)} of ${clock(this.#seconds)}, ${this.#describe(time)}`);
  }
}

interface Plot {
  left: number;
  width: number;
}

/** The waveform: for each pixel the lowest and highest peak that fall on it. */
export function drawWave(context: CanvasRenderingContext2D, peaks: readonly (readonly [number, number])[], plot: Plot, height = WAVE, tint = "--accent"): void {
  const middle = height / 2;
  context.fillStyle = color("--line");
  context.fillRect(plot.left, middle - 0.5, plot.width, 1);
  if (peaks.length === 0) return;
  // Quiet clips are shown larger, by at most 20 dB, so that there is something to see.
  const loudest = peaks.reduce((most, [low, high]) => Math.max(most, -low, high), 0);
  const gain = (middle - 2) / Math.max(loudest, 0.1);
  context.fillStyle = color(tint);
  context.beginPath();
  for (let x = 0; x < plot.width; x += 1) {
    const from = Math.floor((x / plot.width) * peaks.length);
    const to = Math.max(from + 1, Math.floor(((x + 1) / plot.width) * peaks.length));
    let [low, high] = peaks[from] ?? [0, 0];
    for (let i = from + 1; i < to; i += 1) {
      const [lower, higher] = peaks[i] ?? [0, 0];
      low = Math.min(low, lower);
      high = Math.max(high, higher);
    }
    const top = middle - high * gain;
    context.rect(plot.left + x, top, 1, Math.max(1, (high - low) * gain));
  }
  context.fill();
}

function picture(spectrogram: Spectrogram, table: Uint32Array): HTMLCanvasElement {
  const { n_mels, n_frames } = spectrogram;
  const levels = fromBase64(spectrogram.data);
  const pixels = new Uint32Array(n_mels * n_frames);
  for (let band = 0; band < n_mels; band += 1) {
    const to = (n_mels - 1 - band) * n_frames;
    const from = band * n_frames;
    for (let frame = 0; frame < n_frames; frame += 1) pixels[to + frame] = table[levels[from + frame] ?? 0] ?? 0;
  }
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, n_frames);
  canvas.height = Math.max(1, n_mels);
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), canvas.width, canvas.height);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/**
 * Windows that overlap lie below each other. Where that would take more than a
 * few rows, each is drawn only until the next one begins.
 */
function intoRows(windows: readonly ScoredWindow[]): { rows: { window: ScoredWindow; row: number }[]; nRows: number } {
  const ends: number[] = [];
  const rows = windows.map((window) => {
    let row = ends.findIndex((end) => end <= window.start_seconds + 1e-6);
    if (row < 0) row = ends.length;
    ends[row] = window.end_seconds;
    return { window, row };
  });
  if (ends.length <= MAX_ROWS) return { rows, nRows: Math.max(1, ends.length) };
  const cut = windows.map((window, number) => ({ window: { ...window, end_seconds: windows[number + 1]?.start_seconds ?? window.end_seconds }, row: 0 }));
  return { rows: cut, nRows: 1 };
}

function fitting(context: CanvasRenderingContext2D, texts: readonly string[], width: number): string | undefined {
  return texts.find((text) => context.measureText(text).width <= width);
}
