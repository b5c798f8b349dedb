// The scrolling spectrogram of live listening: the last seconds of sound, and
// below it the windows that were scored, on one time axis that moves to the left.
import type { Model } from "../contract";
import { timeLabel } from "../sound/axis";
import { colormap, fromBase64 } from "../sound/colormap";
import { percent, title } from "../ui/format";
import { classColor, color, onThemeChange } from "../ui/theme";

const SHOWN_SECONDS = 15;
const LANE = 30;
const AXIS = 20;

export interface Mark {
  from: number;
  to: number;
  /** `undefined` for sound that was left out. */
  label: string | undefined;
  probability: number;
  accepted: boolean;
}

export class Scroll {
  /** A ring of columns: column of frame `n` at `n mod capacity`. */
  #ring = document.createElement("canvas");
  #levels: Uint8Array[] = [];
  #capacity = 0;
  #hop = 0;
  #nMels = 0;
  #latest = -1;
  #marks: Mark[] = [];
  #labels: string[] = [];
  #pending = false;

  constructor(readonly canvas: HTMLCanvasElement) {
    onThemeChange(() => {
      this.#levels.forEach((column, at) => this.#paint(at, column));
      this.#schedule();
    });
    new ResizeObserver(() => this.#schedule()).observe(canvas);
  }

  clear(): void {
    this.#capacity = 0;
    this.#latest = -1;
    this.#levels = [];
    this.#marks = [];
    this.#schedule();
  }

  setModel(model: Model): void {
    this.#labels = model.labels;
  }

  addColumns(startSeconds: number, hopSeconds: number, nMels: number, data: string): void {
    if (hopSeconds !== this.#hop || nMels !== this.#nMels || this.#capacity === 0) this.#prepare(hopSeconds, nMels);
    const bytes = fromBase64(data);
    const first = Math.round(startSeconds / hopSeconds);
    const count = Math.floor(bytes.length / nMels);
    // What was left out stays empty.
    const silence = new Uint8Array(nMels);
    for (let frame = Math.max(this.#latest + 1, first - this.#capacity); frame < first; frame += 1) this.#put(frame, silence);
    for (let number = 0; number < count; number += 1) this.#put(first + number, bytes.subarray(number * nMels, (number + 1) * nMels));
    this.#latest = Math.max(this.#latest, first + count - 1);
    this.#schedule();
  }

  /** Windows that follow each other with the same class become one block. */
  addMark(mark: Mark): void {
    const last = this.#marks.at(-1);
    if (last && last.label === mark.label && last.accepted === mark.accepted && mark.label !== undefined && mark.from <= last.to + 0.05) {
      last.to = mark.to;
      last.probability = mark.probability;
    } else this.#marks.push({ ...mark });
    const oldest = mark.to - 2 * SHOWN_SECONDS;
    while (this.#marks[0] && this.#marks[0].to < oldest) this.#marks.shift();
    this.#schedule();
  }

  #prepare(hop: number, nMels: number): void {
    this.#hop = hop;
    this.#nMels = nMels;
    this.#capacity = Math.ceil(SHOWN_SECONDS / hop);
    this.#latest = -1;
    this.#levels = [];
    this.#ring.width = this.#capacity;
    this.#ring.height = nMels;
  }

  #put(frame: number, column: Uint8Array): void {
    const at = frame % this.#capacity;
    this.#levels[at] = column;
    this.#paint(at, column);
  }

  #paint(at: number, column: Uint8Array): void {
    const table = colormap();
    const pixels = new Uint32Array(column.length);
    for (let band = 0; band < column.length; band += 1) pixels[column.length - 1 - band] = table[column[band] ?? 0] ?? 0;
    this.#ring.getContext("2d")?.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), 1, column.length), at, 0);
  }

  #schedule(): void {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  #draw(): void {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const context = canvas.getContext("2d");
    if (width === 0 || !context) return;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    context.scale(scale, scale);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const tall = height - LANE - AXIS;
    context.fillStyle = color("--sunken");
    context.beginPath();
    context.roundRect(0, 0, width, tall, 8);
    context.fill();
    const end = Math.max(SHOWN_SECONDS, (this.#latest + 1) * this.#hop);
    const start = end - SHOWN_SECONDS;
    const x = (seconds: number): number => ((seconds - start) / SHOWN_SECONDS) * width;
    context.save();
    context.clip();
    this.#drawRing(context, width, tall, x);
    context.restore();
    for (const mark of this.#marks) if (mark.to > start) this.#drawMark(context, mark, x, tall, width);
    this.#drawAxis(context, start, end, x, height);
  }

  #drawRing(context: CanvasRenderingContext2D, width: number, tall: number, x: (seconds: number) => number): void {
    if (this.#capacity === 0 || this.#latest < 0) return;
    const perColumn = (this.#hop / SHOWN_SECONDS) * width;
    const count = Math.min(this.#latest + 1, this.#capacity);
    const first = this.#latest + 1 - count;
    const split = first % this.#capacity;
    const head = Math.min(count, this.#capacity - split);
    const left = x(first * this.#hop);
    context.drawImage(this.#ring, split, 0, head, this.#nMels, left, 0, head * perColumn, tall);
    if (count > head) context.drawImage(this.#ring, 0, 0, count - head, this.#nMels, left + head * perColumn, 0, (count - head) * perColumn, tall);
  }

  #drawMark(context: CanvasRenderingContext2D, mark: Mark, x: (seconds: number) => number, top: number, width: number): void {
    const left = Math.max(0, x(mark.from));
    const right = Math.min(width, x(mark.to) - 1.5);
    if (right <= left) return;
    const y = top + 6;
    const known = mark.label !== undefined && mark.accepted;
    const tint = mark.label === undefined ? color("--bad") : known ? classColor(this.#labels.indexOf(mark.label)) : color("--ink-3");
    context.globalAlpha = known ? 0.14 + 0.22 * mark.probability : 0.12;
    context.fillStyle = tint;
    context.beginPath();
    context.roundRect(left, y, right - left, LANE - 8, 5);
    context.fill();
    context.globalAlpha = 1;
    if (known) context.fillRect(left, y + 3, Math.min(3, right - left), LANE - 14);
    const texts = mark.label === undefined ? ["left out"] : known ? [`${title(mark.label)} ${percent(mark.probability)}`, title(mark.label)] : ["unknown"];
    const text = texts.find((one) => context.measureText(one).width <= right - left - 14);
    context.textAlign = "left";
    context.fillStyle = known ? color("--ink") : color("--ink-2");
    if (text) context.fillText(text, left + 9, y + (LANE - 8) / 2 + 0.5);
  }

  #drawAxis(context: CanvasRenderingContext2D, start: number, end: number, x: (seconds: number) => number, height: number): void {
    const step = this.canvas.clientWidth < 600 ? 5 : 2;
    context.fillStyle = color("--ink-3");
    context.textAlign = "center";
    for (let time = Math.ceil(start / step) * step; time <= end; time += step) {
      const at = x(time);
      const text = timeLabel(time, 60);
      const half = context.measureText(text).width / 2;
      if (at > half && at < this.canvas.clientWidth - half) context.fillText(text, at, height - AXIS / 2);
    }
  }
}
