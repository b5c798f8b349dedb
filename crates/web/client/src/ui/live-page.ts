// Pages that show something under way: while an element has `data-live="2000"`,
// the page is asked for again every so many milliseconds, and each element with
// `data-part="NAME"` takes the content of its new self. What people are using is
// left alone: a part with the focus or with a chosen box waits for its turn, and
// curves follow by themselves (charts/curves.ts). A part that took new content says so
// by the event `fresh`. A page that has nothing yet (`data-empty`) is loaded anew when
// there is something.

const SLOWEST_MS = 30_000;

export function followPage(): void {
  const interval = wanted(document);
  if (interval > 0) setTimeout(() => void look(interval, interval), interval);
}

/** How often the page wants to be asked for again, in milliseconds; 0 for never. */
function wanted(page: Document): number {
  return Number(page.querySelector<HTMLElement>("[data-live]")?.dataset["live"] ?? 0);
}

async function look(interval: number, wait: number): Promise<void> {
  let next = wait;
  if (!document.hidden) {
    const fresh = await freshPage().catch(() => undefined);
    if (fresh) {
      if (document.querySelector("[data-empty]") && !fresh.querySelector("[data-empty]")) return location.reload();
      for (const part of document.querySelectorAll<HTMLElement>("[data-part]")) update(part, fresh);
      next = interval = wanted(fresh);
      if (interval === 0) return end();
    } else next = Math.min(SLOWEST_MS, wait * 2);
  }
  setTimeout(() => void look(interval, next), next);
}

async function freshPage(): Promise<Document> {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

function update(part: HTMLElement, fresh: Document): void {
  if ("curves" in part.dataset || part.querySelector("[data-curves]") || part.matches(":focus-within") || part.querySelector("input:checked")) return;
  const now = fresh.querySelector<HTMLElement>(`[data-part="${CSS.escape(part.dataset["part"] ?? "")}"]`);
  if (!now || now.innerHTML === part.innerHTML) return;
  const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.id));
  part.replaceChildren(...now.childNodes);
  for (const details of part.querySelectorAll("details")) if (details.id !== "" && open.has(details.id)) details.open = true;
  part.dispatchEvent(new Event("fresh", { bubbles: true }));
}

function end(): void {
  for (const element of document.querySelectorAll("[data-live]")) element.removeAttribute("data-live");
  for (const mark of document.querySelectorAll<HTMLElement>(".section-head .live-mark")) mark.hidden = true;
}
