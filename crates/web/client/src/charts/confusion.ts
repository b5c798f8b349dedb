// A confusion matrix as a table: rows are the truth, columns what was heard. Color
// only helps; every cell has its number and says in words what it counts.
import { h, replace } from "../ui/dom";

export interface Confusion {
  classes: string[];
  counts: number[][];
}

/** Above this many classes the percentages no longer fit. */
const DENSE_FROM = 14;

export function drawConfusion(host: HTMLElement, { classes, counts }: Confusion): void {
  const head = h("tr", {}, h("td"), classes.map((name) => h("th", { scope: "col" }, h("span", {}, name))), h("th", { scope: "col" }, h("span", {}, "clips")));
  const rows = counts.map((row, truth) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count, heard) => cell(count, total, classes[truth] ?? "", classes[heard] ?? "", truth === heard));
    return h("tr", {}, h("th", { scope: "row" }, classes[truth]), cells, h("td", { class: "sum" }, String(total)));
  });
  const table = h("table", { class: `matrix ${classes.length >= DENSE_FROM ? "dense" : ""}` },
    h("caption", {}, "Rows are the truth, columns what was heard."), h("thead", {}, head), h("tbody", {}, rows));
  replace(host, h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Confusion matrix" }, table));
}

function cell(count: number, total: number, truth: string, heard: string, right: boolean): HTMLElement {
  const share = total > 0 ? count / total : 0;
  const words = `${count} of ${total} clips of ${truth} ${right ? "were recognized" : `were taken for ${heard}`}`;
  if (count === 0) return h("td", { class: "none", title: words }, h("span", { "aria-hidden": "true" }, "·"), h("span", { class: "visually-hidden" }, "0"));
  const element = h("td", { class: `${right ? "hit" : "miss"} ${share > 0.55 ? "strong" : ""}`, title: words }, String(count), h("small", {}, `${Math.round(share * 100)} %`));
  element.style.setProperty("--shade", share.toFixed(3));
  return element;
}
