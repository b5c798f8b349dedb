// Tabs as the ARIA practices describe them: arrow keys move, Home and End jump,
// the chosen tab's panel is shown. Markup: [role=tablist] > [role=tab][aria-controls].

export function wireTabs(list: HTMLElement): void {
  const tabs = [...list.querySelectorAll<HTMLElement>("[role=tab]")];
  const choose = (chosen: HTMLElement, focus = false): void => {
    for (const tab of tabs) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !on;
    }
    if (focus) chosen.focus();
    list.dispatchEvent(new CustomEvent("tabchange", { detail: chosen.id, bubbles: true }));
  };
  for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
  list.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    const last = tabs.length - 1;
    const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    const tab = to === undefined ? undefined : tabs[to];
    if (!tab) return;
    event.preventDefault();
    choose(tab, true);
  });
  const fromAddress = tabs.find((tab) => `#${tab.dataset["name"]}` === location.hash);
  const first = fromAddress ?? tabs.find((tab) => tab.getAttribute("aria-selected") === "true") ?? tabs[0];
  if (first) choose(first);
}
