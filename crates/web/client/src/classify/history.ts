// This browser's earlier answers, in IndexedDB, with their clips where these are
// small. Nothing of it leaves the browser. Where storage is forbidden there is
// simply no history.
import type { Answer } from "../contract";
import { bar, h, icon, replace } from "../ui/dom";
import { ago, percent, title } from "../ui/format";
import { classColor } from "../ui/theme";
import { twice } from "../ui/twice";
import type { Item } from "./items";

export interface Kept {
  id?: number;
  at: number;
  name: string;
  answer: Answer;
  clip: Blob | undefined;
  verdict: string | undefined;
}

const MOST = 100;
const MOST_CLIP_BYTES = 4_000_000;
const SHOWN = 6;

export class History {
  #database: Promise<IDBDatabase> | undefined;
  #shown = SHOWN;

  constructor(readonly host: HTMLElement, readonly open: (kept: Kept) => void) {
    void this.show();
  }

  /** Puts an answer in, or what was said to it since; what was forgotten meanwhile stays forgotten. */
  async keep(item: Item): Promise<void> {
    if (!item.answer) return;
    const kept: Kept = { at: item.at, name: item.name, answer: item.answer, clip: item.clip && item.clip.size <= MOST_CLIP_BYTES ? item.clip : undefined, verdict: item.verdict };
    try {
      if (item.historyId === undefined) item.historyId = Number(await this.#do<IDBValidKey>("readwrite", (store) => store.add(kept)));
      else await this.#change({ ...kept, id: item.historyId });
      await this.#trim();
      await this.show();
    } catch {
      // Full or forbidden storage costs the history, never the answer.
    }
  }

  async show(): Promise<void> {
    const all = await this.#all().catch(() => []);
    this.host.hidden = all.length === 0;
    if (all.length === 0) return;
    const entry = (kept: Kept): HTMLElement => {
      const best = kept.answer.predictions[0];
      const fill = bar(best?.probability ?? 0);
      fill.style.setProperty("--bar", classColor(kept.answer.model.labels.indexOf(best?.label ?? "")));
      return h("li", {}, h("button", { class: "kept", type: "button", onclick: () => this.open(kept) },
        h("span", { class: "kept-label" }, kept.answer.accepted ? title(best?.label ?? "") : "Unknown", isConfirmed(kept) && h("span", { class: "kept-verdict" }, icon("check"), h("span", { class: "visually-hidden" }, "confirmed"))),
        h("span", { class: "num kept-share" }, percent(best?.probability ?? 0)),
        fill,
        kept.verdict !== undefined && !isConfirmed(kept) && h("span", { class: "kept-said" }, "You said: ", title(kept.verdict)),
        h("span", { class: "kept-name" }, kept.name),
        h("span", { class: "kept-time" }, ago(kept.at))));
    };
    const forget = h("button", { class: "btn btn-quiet btn-small", type: "button" }, "Forget all");
    twice(forget, () => `Really forget all ${all.length}?`, () => void this.#clear());
    replace(this.host,
      h("div", { class: "section-head" }, h("h2", {}, "Heard earlier"), forget),
      h("ol", { class: "history-list" }, all.slice(0, this.#shown).map(entry)),
      all.length > this.#shown && h("button", { class: "btn btn-small", type: "button", onclick: () => {
        this.#shown = MOST;
        void this.show();
      } }, `Show all ${all.length}`),
      h("p", { class: "hint" }, "Kept in this browser only."));
  }

  /** Changes an entry that is still there. One transaction, because another page may be forgetting all. */
  async #change(kept: Kept): Promise<void> {
    await this.#do("readwrite", (store) => {
      const found = store.getKey(kept.id ?? 0);
      found.addEventListener("success", () => found.result !== undefined && store.put(kept));
      return found;
    });
  }

  async #all(): Promise<Kept[]> {
    const all = await this.#do<Kept[]>("readonly", (store) => store.getAll());
    return all.reverse();
  }

  async #trim(): Promise<void> {
    const keys = await this.#do<IDBValidKey[]>("readonly", (store) => store.getAllKeys());
    for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) await this.#do("readwrite", (store) => store.delete(key));
  }

  async #clear(): Promise<void> {
    await this.#do("readwrite", (store) => store.clear()).catch(() => undefined);
    await this.show();
  }

  async #do<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    this.#database ??= new Promise((resolve, reject) => {
      const request = indexedDB.open("biophony", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("answers", { keyPath: "id", autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const store = (await this.#database).transaction("answers", mode).objectStore("answers");
    return new Promise((resolve, reject) => {
      const request = work(store);
      request.onsuccess = () => resolve(request.result as T);
      request.onerror = () => reject(request.error);
    });
  }
}

/** Whether the listener said what the answer says. */
function isConfirmed({ answer, verdict }: Kept): boolean {
  return answer.accepted && verdict === answer.predictions[0]?.label;
}
