// Labelled bars: recall of each class, clips per class, seconds per step.
import { bar, h, replace } from "../ui/dom";

export interface Bar {
  label: string;
  value: number;
  text?: string;
}

export function drawBars(host: HTMLElement, bars: Bar[]): void {
  const most = host.dataset["max"] ? Number(host.dataset["max"]) : Math.max(...bars.map(({ value }) => value), 1e-12);
  host.classList.add("bars");
  replace(host, bars.map(({ label, value, text }) =>
    h("div", {}, h("dt", {}, label), h("dd", {}, bar(value / most)), h("dd", { class: "num" }, text ?? value.toLocaleString("en", { maximumSignificantDigits: 3 })))));
}
