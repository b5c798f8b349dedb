// Making elements without a framework and without HTML from strings: text from
// file names and labels can then never become markup.

export type Child = Node | string | null | undefined | false | readonly Child[];
type Props = Record<string, unknown>;

/** An element with properties (`class`, `onclick`, `ariaLabel`, `data-…`) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "class") element.className = String(value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (typeof child === "string" || child instanceof Node) parent.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
    else append(parent, child);
  }
}

export function replace(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** The element that the page's template promises to have. */
export function find<T extends Element = HTMLElement>(selector: string, within: ParentNode = document): T {
  const found = within.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

const ICONS = {
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8 5.5h3v13H8zM14 5.5h3v13h-3z",
  stop: "M7 7h10v10H7z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  download: "M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 19.5h14",
  upload: "M12 16V5m-4.5 4.5L12 5l4.5 4.5M5 19.5h14",
  chevron: "M8 10l4 4 4-4",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  mic: "M12 4a2.8 2.8 0 0 1 2.8 2.8v4.4a2.8 2.8 0 0 1-5.6 0V6.8A2.8 2.8 0 0 1 12 4zM6.5 11.5a5.5 5.5 0 0 0 11 0M12 17v3.5",
} as const;
const FILLED = new Set(["play", "pause", "stop"]);
export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("width", "20");
  svg.setAttribute("height", "20");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  const filled = FILLED.has(name);
  path.setAttribute("fill", filled ? "currentColor" : "none");
  if (!filled) {
    path.setAttribute("stroke", "currentColor");
    path.setAttribute("stroke-width", "2");
    path.setAttribute("stroke-linecap", "round");
    path.setAttribute("stroke-linejoin", "round");
  }
  svg.appendChild(path);
  return svg;
}

/** A thin bar that shows a share. */
export function bar(share: number, className = "bar"): HTMLElement {
  const element = h("span", { class: className, "aria-hidden": "true" });
  element.style.setProperty("--fill", String(Math.min(1, Math.max(0, share))));
  return element;
}
