// The theme: the switch in the masthead, and the colors for what is drawn on
// canvases, which CSS does not reach.

const KEY = "biophony.theme";
const ORDER = ["auto", "light", "dark"] as const;
type Theme = (typeof ORDER)[number];

/** Wires the button; each press goes from the system's choice to light to dark. */
export function wireThemeSwitch(button: HTMLElement): void {
  const show = (theme: Theme): void => {
    button.dataset["shows"] = theme;
    const label = `Theme: ${theme === "auto" ? "as the system" : theme}`;
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  let theme: Theme = (document.documentElement.dataset["theme"] as Theme | undefined) ?? "auto";
  show(theme);
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "auto";
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    try {
      if (theme === "auto") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // The choice then holds for this page alone.
    }
    show(theme);
    announce();
  });
}

function announce(): void {
  resolved.clear();
  document.dispatchEvent(new Event("themechange"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);

/** Calls `draw` whenever colors change. */
export function onThemeChange(draw: () => void): void {
  document.addEventListener("themechange", draw);
}

const resolved = new Map<string, string>();
let probe: HTMLElement | undefined;

/** A custom property as a color that a canvas understands. */
export function color(property: string): string {
  const known = resolved.get(property);
  if (known) return known;
  if (!probe) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.appendChild(probe);
  }
  probe.style.color = `var(${property})`;
  const value = getComputedStyle(probe).color;
  resolved.set(property, value);
  return value;
}

export function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * A color for each class of a model, told apart also when neighbours: hues go
 * round by the golden angle.
 */
export function classColor(index: number): string {
  const hue = (158 + index * 137.508) % 360;
  return isDark() ? `oklch(0.78 0.13 ${hue.toFixed(1)})` : `oklch(0.5 0.13 ${hue.toFixed(1)})`;
}

