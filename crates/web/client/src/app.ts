// What every page does: theme, tabs, copy buttons, bars, times, sorting of
// tables, and fetching charts.js where a page has a chart.
import { find, h } from "./ui/dom";
import { ago } from "./ui/format";
import { needsChosen } from "./ui/chosen";
import { sortable } from "./ui/sortable";
import { followPage } from "./ui/live-page";
import { wireTabs } from "./ui/tabs";
import { wireThemeSwitch } from "./ui/theme";

const CHARTS = "[data-curves]";

for (const button of document.querySelectorAll<HTMLElement>(".theme-switch")) wireThemeSwitch(button);
for (const list of document.querySelectorAll<HTMLElement>("[role=tablist]")) wireTabs(list);
followPage();
for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-needs]")) needsChosen(button);
for (const table of document.querySelectorAll<HTMLTableElement>("table[data-sortable]")) sortable(table);

for (const element of document.querySelectorAll<HTMLElement>("[data-fill]")) {
  element.style.setProperty("--fill", element.dataset["fill"] ?? "0");
}
for (const time of document.querySelectorAll<HTMLTimeElement>("time[datetime][data-ago]")) {
  const then = Date.parse(time.dateTime);
  if (Number.isNaN(then)) continue;
  time.title ||= new Date(then).toLocaleString();
  time.textContent = ago(then);
}

// What scrolls must be reachable by keyboard, and what does not need not be.
function reachable(): void {
  for (const box of document.querySelectorAll<HTMLElement>(".table-wrap, pre, .graph")) {
    if (!box.hasAttribute("tabindex") && box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
}
reachable();
addEventListener("resize", reachable);

// A button copies what `data-copy` holds or, when empty, the <pre> beside it.
document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLElement>("[data-copy]");
  if (!button) return;
  const text = button.dataset["copy"] || (button.parentElement?.querySelector("pre")?.textContent ?? "");
  const said = button.textContent;
  void copy(text.trim()).then((done) => {
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = said), 1600);
  });
});

// `navigator.clipboard` exists on secure pages only.
async function copy(text: string): Promise<boolean> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = h("textarea", { class: "visually-hidden" });
  area.value = text;
  find("body").appendChild(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

if (document.querySelector(CHARTS)) {
  const charts = "./charts.js";
  void import(charts);
}
