// What was heard, with times: windows that follow each other with the same class
// become one entry. Newest first on the page; all of it in the CSV.
import { bar, h, replace } from "../ui/dom";
import { csv, download, stamp } from "../ui/download";
import { clock, percent, title } from "../ui/format";
import { classColor } from "../ui/theme";
import type { Model } from "../contract";
import { modelName } from "./answer";
import type { Mark } from "./scroll";

interface Entry {
  from: number;
  to: number;
  label: string;
  probability: number;
  heardAt: Date;
  model: string;
  element: HTMLElement | undefined;
}

/** Days of listening stay bounded: older entries leave, oldest first. */
const MOST_ENTRIES = 5000;
const SHOWN = 100;

export class Timeline {
  #entries: Entry[] = [];
  #open: Entry | undefined;

  constructor(readonly list: HTMLElement, readonly saying: HTMLElement, readonly startedAt: () => Date, readonly model: () => Model | undefined) {}

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  clear(): void {
    this.#entries = [];
    this.#open = undefined;
    replace(this.list);
    this.saying.textContent = "";
  }

  add(mark: Mark): void {
    const { label } = mark;
    if (label === undefined || !mark.accepted) {
      this.#open = undefined;
      return;
    }
    if (this.#open?.label === label && mark.from <= this.#open.to + 0.05) {
      this.#open.to = mark.to;
      this.#open.probability = Math.max(this.#open.probability, mark.probability);
      this.#draw(this.#open);
      return;
    }
    const entry: Entry = { from: mark.from, to: mark.to, label, probability: mark.probability, heardAt: new Date(this.startedAt().getTime() + mark.from * 1000), model: this.#modelName(), element: undefined };
    this.#entries.push(entry);
    if (this.#entries.length > MOST_ENTRIES) this.#entries.shift();
    this.#open = entry;
    this.saying.textContent = `${title(label)} at ${clock(mark.from)}`;
    this.#draw(entry);
  }

  /** A line between entries: the model changed, sound was left out. */
  note(text: string): void {
    this.#open = undefined;
    this.list.prepend(h("li", { class: "timeline-note" }, text));
    this.#shorten();
  }

  save(): void {
    const rows = this.#entries.map((entry) => [entry.heardAt.toISOString(), entry.from.toFixed(2), entry.to.toFixed(2), entry.label, entry.probability, entry.model]);
    download(csv([["heard_at", "start_seconds", "end_seconds", "label", "probability", "model"], ...rows]), `biophony-live-${stamp()}.csv`);
  }

  #modelName(): string {
    const model = this.model();
    return model ? modelName(model) : "";
  }

  #draw(entry: Entry): void {
    const fill = bar(entry.probability);
    fill.style.setProperty("--bar", classColor(this.model()?.labels.indexOf(entry.label) ?? -1));
    const element = h("li", {},
      h("time", { datetime: entry.heardAt.toISOString(), title: entry.heardAt.toLocaleTimeString() }, `${clock(entry.from)} – ${clock(entry.to)}`),
      h("b", {}, title(entry.label)), fill, h("span", { class: "num", title: "The surest moment of it" }, h("span", { class: "muted small" }, "up to "), percent(entry.probability)));
    if (entry.element) entry.element.replaceWith(element);
    else this.list.prepend(element);
    entry.element = element;
    this.#shorten();
  }

  #shorten(): void {
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild?.remove();
  }
}
