// The sounds of this visit and the queue that asks about them: a few at a time,
// waiting when the server is busy, each with its own fate. How they look is the
// business of results.ts.
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
  answer: Answer | undefined;
  problem: string | undefined;
  /** Whether asking again would end the same way. */
  isFinal: boolean;
  /** What the listener said the sound is. */
  verdict: string | undefined;
  historyId: number | undefined;
  stop: AbortController;
}

/** The server works on as many at once as it has cores; one more keeps it fed. */
const AT_ONCE = 3;
/** More than this many files at once are asked about without pictures. */
const PICTURES_FOR = 4;
const MOST_TRIES = 30;

let lastId = 0;

/** A sound to ask about; one with a problem has failed already, and nobody is asked. */
export function newItem(name: string, clip: Blob | undefined, source: Source, problem?: string): Item {
  lastId += 1;
  return { id: lastId, name, source, clip: problem ? undefined : clip, state: problem ? "failed" : "waiting", sent: 0, answer: undefined, problem, isFinal: false, verdict: undefined, historyId: undefined, stop: new AbortController() };
}

export class Queue {
  readonly items: Item[] = [];
  #running = 0;
  #pictures = true;

  constructor(readonly changed: (item: Item | undefined) => void) {}

  add(items: Item[]): void {
    this.#pictures = items.length <= PICTURES_FOR;
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

  retry(item: Item): void {
    if (!item.clip) return;
    item.state = "waiting";
    item.problem = undefined;
    item.sent = 0;
    item.stop = new AbortController();
    this.changed(item);
    this.#feed();
  }

  clear(): void {
    this.cancel();
    this.items.length = 0;
    this.changed(undefined);
  }

  get counts(): { total: number; done: number; failed: number; open: number } {
    const count = (...states: State[]): number => this.items.filter((item) => states.includes(item.state)).length;
    return { total: this.items.length, done: count("done"), failed: count("failed"), open: count("waiting", "sending") };
  }

  #feed(): void {
    while (this.#running < AT_ONCE) {
      const next = this.items.find((item) => item.state === "waiting");
      if (!next) return;
      this.#running += 1;
      next.state = "sending";
      this.changed(next);
      void this.#ask(next).finally(() => {
        this.#running -= 1;
        this.changed(next);
        this.#feed();
      });
    }
  }

  async #ask(item: Item): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        item.answer = await classify(item.clip ?? new Blob(), item.name, {
          detail: this.#pictures,
          signal: item.stop.signal,
          progress: (share) => {
            item.sent = share;
            if (share < 1) this.changed(item);
          },
        });
        item.state = "done";
        return;
      } catch (error) {
        const known = error instanceof ApiError ? error : new ApiError("failed", String(error));
        if (known.code === "busy" && attempt < MOST_TRIES && !item.stop.signal.aborted) {
          await new Promise((resolve) => setTimeout(resolve, 1000 * (known.retryAfterSeconds ?? 1)));
          continue;
        }
        item.state = known.code === "cancelled" || item.stop.signal.aborted ? "cancelled" : "failed";
        item.problem = known.message;
        item.isFinal = known.isFinal;
        return;
      }
    }
  }
}

/** Asks again for an answer that came without pictures. */
export async function withPictures(item: Item): Promise<void> {
  if (!item.answer || item.answer.view || !item.clip) return;
  item.answer = await classify(item.clip, item.name, { detail: true });
}
