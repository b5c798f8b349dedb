// The sounds of this visit and the queue that asks about them: a few at a time,
// waiting when the server is busy or away, each with its own fate. How they look is
// the business of results.ts.
import { ApiError, classify } from "../api";
import type { Answer } from "../contract";

export type Source = "upload" | "recording" | "example" | "history";
export type State = "waiting" | "sending" | "done" | "failed" | "cancelled";

export interface Item {
  readonly id: number;
  readonly name: string;
  readonly source: Source;
  /** Absent for answers from the history whose clip was too large to keep, and for what is not sent. */
  clip: Blob | undefined;
  state: State;
  /** Which share of the file has been sent. */
  sent: number;
  /** Why it has to be asked about once more. */
  delay: string | undefined;
  answer: Answer | undefined;
  problem: string | undefined;
  /** Whether asking again would end the same way. */
  isFinal: boolean;
  /** What the listener said the sound is. */
  verdict: string | undefined;
  /** When it came. */
  at: number;
  historyId: number | undefined;
  stop: AbortController;
  /** Whether pictures are asked for with the answer. */
  pictures: boolean;
}

/** The server works on as many at once as it has cores; one more keeps it fed. */
const AT_ONCE = 3;
/** Large files go one by one: side by side each would only be slower, and hold the server's memory for longer. */
const BYTES_AT_ONCE = 32_000_000;
/** More than this many files at once are asked about without pictures. */
const PICTURES_FOR = 4;
/** More than this many at once fill the table, not the history. */
export const MOST_KEPT_AT_ONCE = 20;
/** For so long a server may answer no file at all before one is given up that it was too busy for. */
const BUSY_FOR_MS = 5 * 60_000;
/** The waits before a server that cannot be reached is tried again: networks have gaps, and servers are started anew. */
const AWAY_MS = [1000, 4000, 10_000];

let lastId = 0;

/** A sound to ask about; one with a problem has failed already, and nobody is asked. */
export function newItem(name: string, clip: Blob | undefined, source: Source, problem?: string): Item {
  lastId += 1;
  return { id: lastId, name, source, clip: problem ? undefined : clip, state: problem ? "failed" : "waiting", sent: 0, delay: undefined, answer: undefined, problem, isFinal: false, verdict: undefined, at: Date.now(), historyId: undefined, stop: new AbortController(), pictures: true };
}

/** Whether asking again may help. */
export function canRetry(item: Item): boolean {
  return (item.state === "failed" || item.state === "cancelled") && item.clip !== undefined && !item.isFinal;
}

export class Queue {
  readonly items: Item[] = [];
  readonly #running = new Set<Item>();
  /** When the server last answered about a file. */
  #heardAt = 0;

  constructor(readonly changed: (item: Item | undefined) => void) {}

  add(items: Item[]): void {
    for (const item of items) item.pictures = items.length <= PICTURES_FOR;
    this.items.push(...items);
    this.changed(undefined);
    this.#feed();
  }

  /** Something that needs no asking: an answer from the history. */
  addDone(item: Item): void {
    this.items.push(item);
    this.changed(undefined);
  }

  cancel(): void {
    for (const item of this.items) {
      if (item.state === "sending") item.stop.abort();
      if (item.state !== "waiting") continue;
      item.state = "cancelled";
      this.changed(item);
    }
  }

  retry(...items: Item[]): void {
    for (const item of items) {
      if (!canRetry(item)) continue;
      item.state = "waiting";
      item.problem = undefined;
      item.sent = 0;
      item.stop = new AbortController();
      this.changed(item);
    }
    this.#feed();
  }

  clear(): void {
    this.replace([]);
  }

  /** Others in the place of all, without a moment of none. */
  replace(items: Item[]): void {
    this.cancel();
    this.items.length = 0;
    this.add(items);
  }

  get counts(): { total: number; done: number; failed: number; open: number } {
    const count = (...states: State[]): number => this.items.filter((item) => states.includes(item.state)).length;
    return { total: this.items.length, done: count("done"), failed: count("failed"), open: count("waiting", "sending") };
  }

  #feed(): void {
    for (;;) {
      const next = this.items.find((item) => item.state === "waiting");
      if (!next || !this.#hasRoomFor(next)) return;
      this.#running.add(next);
      next.state = "sending";
      this.changed(next);
      void this.#ask(next).finally(() => {
        this.#running.delete(next);
        this.changed(next);
        this.#feed();
      });
    }
  }

  #hasRoomFor(item: Item): boolean {
    let bytes = item.clip?.size ?? 0;
    for (const { clip } of this.#running) bytes += clip?.size ?? 0;
    return this.#running.size === 0 || (this.#running.size < AT_ONCE && bytes <= BYTES_AT_ONCE);
  }

  async #ask(item: Item): Promise<void> {
    const begun = Date.now();
    let away = 0;
    for (;;) {
      try {
        item.answer = await classify(item.clip ?? new Blob(), item.name, {
          detail: item.pictures,
          signal: item.stop.signal,
          progress: (share) => {
            item.sent = share;
            item.delay = undefined;
            if (share < 1) this.changed(item);
          },
        });
        this.#heardAt = Date.now();
        item.state = "done";
        return;
      } catch (error) {
        const known = error instanceof ApiError ? error : new ApiError("failed", String(error));
        const isAway = known.code === "unreachable";
        const wait = isAway ? AWAY_MS[away] : this.#busyWait(known, begun);
        if (wait !== undefined && !item.stop.signal.aborted) {
          away = isAway ? away + 1 : 0;
          item.sent = 0;
          item.delay = isAway ? "The server does not answer; trying again…" : "The server is busy; trying again…";
          this.changed(item);
          await pause(wait, item.stop.signal);
          continue;
        }
        if (known.status !== undefined) this.#heardAt = Date.now();
        this.#end(item, known);
        if (isAway) for (const other of this.items) if (other.state === "waiting") this.#end(other, known);
        return;
      }
    }
  }

  /** How long to wait before a busy server is asked again, in milliseconds; nothing where it is not busy, or has been for too long. */
  #busyWait(error: ApiError, begun: number): number | undefined {
    if (error.code !== "busy" || Date.now() - Math.max(begun, this.#heardAt) > BUSY_FOR_MS) return undefined;
    // Not all at the same moment.
    return 1000 * (error.retryAfterSeconds ?? 1) * (1 + Math.random() / 2);
  }

  #end(item: Item, error: ApiError): void {
    item.state = error.code === "cancelled" || item.stop.signal.aborted ? "cancelled" : "failed";
    item.problem = error.message;
    item.isFinal = error.isFinal;
    this.changed(item);
  }
}

/** Waits, but not for what was cancelled meanwhile. */
function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = setTimeout(resolve, ms);
    stop.addEventListener("abort", () => {
      clearTimeout(over);
      resolve();
    }, { once: true });
  });
}

/** Asks again for an answer that came without pictures. */
export async function withPictures(item: Item): Promise<void> {
  if (!item.answer || item.answer.view || !item.clip) return;
  item.answer = await classify(item.clip, item.name, { detail: true });
}
