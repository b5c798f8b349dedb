// What came back: one answer as a card; several as a table to sort, filter and
// download, whose rows unfold into cards.
import { ApiError } from "../api";
import { bar, h, icon, replace, type Child } from "../ui/dom";
import { csv, download, stamp } from "../ui/download";
import { duration, many, milliseconds, percent, sentence, title } from "../ui/format";
import { focusOn, keepFocus } from "../ui/focus";
import { compare } from "../ui/sortable";
import { twice } from "../ui/twice";
import { answerCard, modelName, type AnswerCard } from "./answer";
import { MOST_KEPT_AT_ONCE, canRetry, withPictures, type Item, type Queue } from "./items";
import { waitingNote, type WaitingNote } from "./waiting";

type Column = "name" | "label" | "probability" | "duration" | "latency";
const COLUMNS: { key: Column; text: string; numeric?: boolean; wideOnly?: boolean }[] = [
  { key: "name", text: "File" },
  { key: "label", text: "Heard" },
  { key: "probability", text: "How sure" },
  { key: "duration", text: "Length", numeric: true, wideOnly: true },
  { key: "latency", text: "Answered in", numeric: true, wideOnly: true },
];
/** A single file that is answered sooner than people see a flash shows its answer alone. */
const SAID_AFTER_MS = 120;
/** As many answers are soon had again. */
const CLEARED_AT_ONCE = 4;
/** As in layout.css: phones show fewer columns. */
const narrow = matchMedia("(max-width: 44rem)");
const UNKNOWN = "unknown";
const FAILED = "failed";

/** The parts of the table that change. */
interface Table {
  element: HTMLElement;
  head: HTMLTableRowElement;
  body: HTMLTableSectionElement;
  status: HTMLElement;
  progress: HTMLProgressElement;
  cancel: HTMLElement;
  again: HTMLElement;
  kinds: HTMLSelectElement;
  none: HTMLElement;
  unkept: HTMLElement;
}

export class Results {
  readonly #rows = new Map<Item, HTMLTableRowElement>();
  #sort: { column: Column; descending: boolean } | undefined;
  #filter = { text: "", kind: "" };
  #open: { item: Item; card: AnswerCard; row?: HTMLTableRowElement } | undefined;
  /** Whose row is to be unfolded: its pictures may still be on their way. */
  #wanted: Item | undefined;
  #waiting: WaitingNote | undefined;
  #table: Table | undefined;
  #pending = false;
  /** Runs while a single file may still be answered before anything need be said of it. */
  #patience: ReturnType<typeof setTimeout> | undefined;
  #patienceWith: Item | undefined;
  #isToReveal = false;
  /** What was revealed as a note of waiting: its answer is to be revealed as well. */
  #revealed: Item | undefined;

  constructor(readonly host: HTMLElement, readonly live: HTMLElement, readonly queue: () => Queue, readonly remember: (item: Item) => void) {
    narrow.addEventListener("change", () => {
      for (const [item, row] of this.#rows) row.replaceChildren(...this.#cells(item));
      this.#open?.row?.cells[0]?.setAttribute("colspan", String(nColumns()));
    });
    // Whoever does something else meanwhile is left where they are.
    for (const type of ["wheel", "touchmove", "pointerdown", "keydown"]) addEventListener(type, () => (this.#revealed = undefined), { passive: true });
  }

  /** An item changed, or (without one) the list did. */
  update(item: Item | undefined): void {
    const { items } = this.queue();
    if (this.#isPatientWith(items.length === 1 ? items[0] : undefined)) return;
    this.host.hidden = items.length === 0;
    // What comes back is what matters then: the ways in make room.
    document.body.classList.toggle("answered", items.length > 0);
    if (items.length === 0) {
      this.#closeOpen();
      this.#table = undefined;
      this.#waiting = undefined;
      this.#rows.clear();
      replace(this.host);
    } else if (items.length === 1) this.#single(items[0]!);
    else this.#several(item);
    if (this.#isToReveal) this.#revealNow();
  }

  /** Brings the results into view, once there are any, for people who pressed a button above them. */
  reveal(): void {
    this.#isToReveal = true;
    if (this.#patience === undefined) this.#revealNow();
  }

  /** `item` is what stands alone, where one does. */
  #isPatientWith(item: Item | undefined): boolean {
    const awaited = item && isAwaited(item) ? item : undefined;
    if (awaited && awaited === this.#patienceWith) return this.#patience !== undefined;
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#patienceWith = awaited;
    if (!awaited) return false;
    this.#patience = setTimeout(() => {
      this.#patience = undefined;
      this.update(awaited);
    }, SAID_AFTER_MS);
    return true;
  }

  #revealNow(): void {
    this.#isToReveal = false;
    this.#revealed = this.#waiting?.item;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    if (this.host.getBoundingClientRect().top > innerHeight * 0.6) this.host.scrollIntoView({ behavior, block: "start" });
  }

  /** Shows an answer of the table in full. */
  async unfold(item: Item): Promise<void> {
    if (!this.#table) return;
    this.#arrange();
    if (this.#wanted !== item) await this.#toggle(item);
    this.#rows.get(item)?.scrollIntoView({ block: "center" });
  }

  #single(item: Item): void {
    this.#table = undefined;
    this.#rows.clear();
    if (item.state === "done" && this.#open?.item === item) return;
    if (isAwaited(item) && item.delay !== undefined) this.live.textContent = item.delay;
    if (isAwaited(item) && this.#waiting?.item === item) return this.#waiting.show();
    this.#closeOpen();
    this.#waiting = undefined;
    if (item.state === "done") {
      const card = answerCard(item, this.remember);
      keepFocus(this.host, () => replace(this.host, h("div", { class: "card" }, card.element)), () => this.host);
      card.drawNow();
      this.#open = { item, card };
      this.live.textContent = `${item.name}: ${heard(item)}`;
    } else if (item.state === "failed" || item.state === "cancelled") {
      keepFocus(this.host, () => replace(this.host, h("div", { class: "callout callout-bad", role: "alert" },
        h("strong", {}, item.state === "failed" ? `No answer for ${item.name}` : `${item.name} was cancelled`),
        item.state === "failed" && h("p", {}, item.problem ?? ""),
        canRetry(item) && h("div", { class: "actions" }, this.#retryButton(item)))));
    } else {
      const note = waitingNote(item, () => this.queue().cancel());
      this.#waiting = note;
      keepFocus(this.host, () => replace(this.host, note.element));
      return;
    }
    if (this.#revealed === item) this.#isToReveal = true;
  }

  #several(item: Item | undefined): void {
    if (!this.#table) {
      this.#closeOpen();
      this.#rows.clear();
      this.#waiting = undefined;
      const table = this.#makeTable();
      this.#table = table;
      keepFocus(this.host, () => replace(this.host, table.element), () => this.host);
    }
    const row = item && this.#rows.get(item);
    if (row) keepFocus(row, () => row.replaceChildren(...this.#cells(item)));
    // Hundreds of answers a second arrive from a fast server: arrange once a frame.
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#arrange();
    });
  }

  #makeTable(): Table {
    const head = h("tr", {}, COLUMNS.map(({ key, text, numeric, wideOnly }) =>
      h("th", { scope: "col", class: `${numeric ? "num" : ""} ${wideOnly ? "wide-only" : ""}`, "data-key": key },
        h("button", { type: "button", onclick: () => this.#sortBy(key) }, text))));
    const body = h("tbody");
    const status = h("p", { class: "muted", role: "status" });
    const progress = h("progress", { class: "progress", max: "1", value: "0", "aria-label": "Progress" });
    const cancel = h("button", { class: "btn btn-small", type: "button", onclick: () => this.queue().cancel() }, icon("cross"), "Cancel");
    const again = h("button", { class: "btn btn-small", type: "button", hidden: true, onclick: () => this.queue().retry(...this.queue().items) });
    const clear = h("button", { class: "btn btn-quiet btn-small", type: "button" }, "Clear");
    twice(clear, () => (this.queue().items.length > CLEARED_AT_ONCE ? `Really clear ${this.queue().items.length}?` : undefined), () => this.queue().clear());
    const kinds = h("select", { class: "select", "aria-label": "Show", onchange: () => {
      this.#filter.kind = kinds.value;
      this.#arrange();
    } });
    const search = h("input", { class: "search", type: "search", placeholder: "Filter by name", "aria-label": "Filter by name", oninput: () => {
      this.#filter.text = search.value.toLocaleLowerCase();
      this.#arrange();
    } });
    const none = h("p", { class: "muted nothing", hidden: true }, "Nothing matches this filter.");
    const unkept = h("p", { class: "hint nothing", hidden: true }, "A table this long goes when the page does: download what you need.");
    const element = h("div", { class: "card flush" },
      h("div", { class: "card-head results-head" },
        h("div", { class: "results-title" }, h("h2", {}, "Answers"), status),
        h("div", { class: "actions" },
          cancel,
          again,
          h("button", { class: "btn btn-small", type: "button", onclick: () => this.#downloadCsv() }, icon("download"), "CSV"),
          h("button", { class: "btn btn-small", type: "button", onclick: () => this.#downloadJson() }, icon("download"), "JSON"),
          clear)),
      progress,
      h("div", { class: "results-filter" }, search, kinds),
      h("div", { class: "table-wrap" }, h("table", { class: "table results-table" }, h("caption", { class: "visually-hidden" }, "Answers; a row's button unfolds it"), h("thead", {}, head), body)),
      none,
      unkept);
    return { element, head, body, status, progress, cancel, again, kinds, none, unkept };
  }

  #arrange(): void {
    const table = this.#table;
    if (!table) return;
    const { items, counts } = this.queue();
    const shown = items.filter((item) => this.#passes(item));
    if (this.#sort) {
      const { column, descending } = this.#sort;
      shown.sort((a, b) => compare(key(a, column), key(b, column)) * (descending ? -1 : 1));
    }
    const rows: HTMLTableRowElement[] = [];
    for (const item of shown) {
      rows.push(this.#row(item));
      if (this.#open?.item === item && this.#open.row) rows.push(this.#open.row);
    }
    // Rows that stay where they are must not be moved: that would lose the focus.
    const same = rows.length === table.body.rows.length && rows.every((row, number) => table.body.rows[number] === row);
    if (!same) table.body.replaceChildren(...rows);
    table.none.hidden = shown.length > 0;
    table.unkept.hidden = items.length <= MOST_KEPT_AT_ONCE;
    table.progress.value = (counts.total - counts.open) / counts.total;
    table.progress.hidden = counts.open === 0;
    // One takes the other's place, in the hand too; what is hidden loses the focus at once.
    const pressed = [table.cancel, table.again].find((button) => button === document.activeElement);
    table.cancel.hidden = counts.open === 0;
    const nAgain = counts.open === 0 ? items.filter(canRetry).length : 0;
    table.again.hidden = nAgain < 2;
    if (nAgain > 1) replace(table.again, icon("again"), `Try ${nAgain} again`);
    if (pressed?.hidden) focusOn([table.cancel, table.again].find((button) => !button.hidden) ?? this.host);
    const said = [`${many(counts.total, "file")}`, `${counts.done} answered`, counts.failed > 0 && `${counts.failed} failed`, counts.open > 0 && `${counts.open} to go`];
    table.status.textContent = said.filter(Boolean).join(" · ");
    this.#listKinds(items);
    for (const head of table.head.cells) {
      if (this.#sort && this.#sort.column === head.dataset["key"]) head.setAttribute("aria-sort", this.#sort.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  #listKinds(items: readonly Item[]): void {
    const kinds = this.#table?.kinds;
    if (!kinds) return;
    const tally = new Map<string, number>();
    for (const item of items) {
      const kind = kindOf(item);
      if (kind) tally.set(kind, (tally.get(kind) ?? 0) + 1);
    }
    const names = [...tally.keys()].sort((a, b) => compare(a, b));
    const wanted = ["", ...names].join("\n");
    const texts = names.map((name) => `${title(name)} (${tally.get(name) ?? 0})`);
    if (kinds.dataset["names"] === wanted) {
      for (const [number, text] of texts.entries()) {
        const option = kinds.options[number + 1];
        if (option) option.textContent = text;
      }
      return;
    }
    kinds.dataset["names"] = wanted;
    replace(kinds, h("option", { value: "" }, "All answers"), names.map((name, number) => h("option", { value: name }, texts[number])));
    kinds.value = names.includes(this.#filter.kind) ? this.#filter.kind : "";
    this.#filter.kind = kinds.value;
  }

  #passes(item: Item): boolean {
    const { text, kind } = this.#filter;
    return (text === "" || item.name.toLocaleLowerCase().includes(text)) && (kind === "" || kindOf(item) === kind);
  }

  #sortBy(column: Column): void {
    const descending = this.#sort?.column === column ? !this.#sort.descending : column === "probability";
    this.#sort = { column, descending };
    this.#arrange();
  }

  #row(item: Item): HTMLTableRowElement {
    const known = this.#rows.get(item);
    if (known) return known;
    const row = h("tr", {}, this.#cells(item));
    row.addEventListener("click", (event) => {
      if ((event.target as Element).closest("button, a") || !item.answer) return;
      void this.#toggle(item);
    });
    this.#rows.set(item, row);
    return row;
  }

  #cells(item: Item): HTMLElement[] {
    const unfolded = this.#open?.item === item;
    const name: Child = item.answer
      ? h("button", { class: "unfold", type: "button", "aria-expanded": String(unfolded), onclick: () => void this.#toggle(item) }, icon("chevron"), breakable(item.name))
      : h("span", { class: "unfold plain" }, breakable(item.name));
    const first = h("th", { scope: "row" }, name);
    if (!item.answer) {
      const words = { waiting: "Waiting", sending: item.delay ?? "Listening…", cancelled: "Cancelled", failed: item.problem ?? "Failed", done: "" }[item.state];
      const again = canRetry(item) ? this.#retryButton(item, true) : null;
      return [first, h("td", { colspan: String(nColumns() - 1), class: item.state }, h("div", { class: "row fate" }, h("span", {}, words), again))];
    }
    const { predictions, accepted, clip, latency_ms } = item.answer;
    const best = predictions[0];
    const verdict = accepted ? title(best?.label ?? "") : h("span", { class: "badge badge-warn" }, "Unknown");
    return [
      first,
      h("td", {}, verdict, !accepted && best && h("span", { class: "muted small closest" }, title(best.label)),
        clip.warnings.length > 0 && h("span", { class: "badge badge-warn doubt", title: clip.warnings.map(sentence).join(" ") }, "Warning")),
      h("td", {}, h("span", { class: "sure" }, bar(best?.probability ?? 0), h("span", { class: "num" }, percent(best?.probability ?? 0)))),
      h("td", { class: "num wide-only" }, duration(clip.duration_seconds)),
      h("td", { class: "num wide-only" }, milliseconds(latency_ms.total)),
    ];
  }

  #retryButton(item: Item, small = false): HTMLElement {
    return h("button", { class: `btn ${small ? "btn-small btn-quiet" : "btn-small"}`, type: "button", "aria-label": `Try again: ${item.name}`, onclick: () => this.queue().retry(item) }, icon("again"), "Try again");
  }

  /** Unfolds a row or folds it again. Of rows pressed quickly the last one counts. */
  async #toggle(item: Item): Promise<void> {
    const isToFold = this.#wanted === item;
    const before = this.#open?.item;
    this.#closeOpen();
    if (before) this.#rows.get(before)?.querySelector("[aria-expanded]")?.setAttribute("aria-expanded", "false");
    if (isToFold) return;
    this.#wanted = item;
    try {
      await withPictures(item);
    } catch (error) {
      this.live.textContent = error instanceof ApiError ? error.message : String(error);
    }
    const row = this.#rows.get(item);
    if (!row || this.#wanted !== item || this.#open) return;
    const card = answerCard(item, this.remember);
    const unfolded = h("tr", { class: "unfolded" }, h("td", { colspan: String(nColumns()) }, card.element));
    this.#open = { item, card, row: unfolded };
    row.after(unfolded);
    row.querySelector("[aria-expanded]")?.setAttribute("aria-expanded", "true");
    card.drawNow();
  }

  #closeOpen(): void {
    this.#open?.card.close();
    this.#open?.row?.remove();
    this.#open = undefined;
    this.#wanted = undefined;
  }

  /** As `biophony classify --csv` writes it, with the model, warnings and the reason of failures after it. */
  #downloadCsv(): void {
    const { items } = this.queue();
    const labels = [...new Set(items.flatMap((item) => item.answer?.model.labels ?? []))];
    const head = ["path", "label", "probability", "accepted", ...labels, "model", "warnings", "error"];
    const rows = items.map((item) => {
      const { answer } = item;
      const best = answer?.predictions[0];
      if (!answer || !best) return [item.name, "", "", "", ...labels.map(() => ""), "", "", item.problem ?? item.state];
      const each = labels.map((label) => answer.predictions.find((one) => one.label === label)?.probability ?? "");
      return [item.name, best.label, best.probability, answer.accepted, ...each, modelName(answer.model), answer.clip.warnings.join("; "), ""];
    });
    download(csv([head, ...rows]), `biophony-${stamp()}.csv`);
  }

  #downloadJson(): void {
    const rows = this.queue().items.map(({ name, answer, problem, state }) => {
      if (!answer) return { path: name, error: problem ?? state };
      const { view: _, ...rest } = answer;
      return { path: name, label: answer.predictions[0]?.label, probability: answer.predictions[0]?.probability, ...rest };
    });
    download(new Blob([`${JSON.stringify(rows, null, 2)}\n`], { type: "application/json" }), `biophony-${stamp()}.json`);
  }
}

function isAwaited(item: Item): boolean {
  return item.state === "waiting" || item.state === "sending";
}

function nColumns(): number {
  return COLUMNS.filter((column) => !(narrow.matches && column.wideOnly)).length;
}

/** A name that, where it is long, breaks behind what divides its words. */
function breakable(name: string): HTMLElement {
  const parts = name.split(/(?<=[/_.-])/);
  return h("span", {}, parts.map((part, number) => [number > 0 && h("wbr"), part]));
}

function kindOf(item: Item): string {
  if (item.state === "failed") return FAILED;
  if (!item.answer) return "";
  return item.answer.accepted ? (item.answer.predictions[0]?.label ?? "") : UNKNOWN;
}

function heard(item: Item): string {
  const best = item.answer?.predictions[0];
  if (!best) return "no answer";
  return item.answer?.accepted ? `${title(best.label)}, ${percent(best.probability)}` : "unknown";
}

function key(item: Item, column: Column): string {
  switch (column) {
    case "name":
      return item.name;
    case "label":
      return kindOf(item);
    case "probability":
      return String(item.answer?.predictions[0]?.probability ?? "");
    case "duration":
      return String(item.answer?.clip.duration_seconds ?? "");
    case "latency":
      return String(item.answer?.latency_ms.total ?? "");
  }
}

