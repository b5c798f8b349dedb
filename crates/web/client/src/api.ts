// Asking the server. Every failure becomes an `ApiError` whose message can be
// shown to people as it is.
import type { Answer, Example, Failure, Model } from "./contract";

export class ApiError extends Error {
  constructor(readonly code: string, message: string, readonly retryAfterSeconds?: number, readonly status?: number) {
    super(message);
  }

  /** Whether the server does not answer to whoever asks here. */
  get isRefusal(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** Whether the same question would be refused again, whatever happens meanwhile. */
  get isFinal(): boolean {
    const { status } = this;
    return status !== undefined && status >= 400 && status < 500 && !PASSING.has(status);
  }
}

/** Not logged in, too slow, no model yet, too many at once: these pass. */
const PASSING = new Set([401, 408, 409, 429]);
const UNREACHABLE = "The server does not answer. Is biophony still running, and is this device still on its network?";

/** Sends one file; `progress` hears which share of it has left. */
export function classify(
  file: Blob,
  filename: string,
  options: { detail: boolean; signal?: AbortSignal; progress?: (share: number) => void },
): Promise<Answer> {
  // XMLHttpRequest, because fetch cannot tell how far an upload has come.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ filename });
    if (options.detail) query.set("detail", "full");
    request.open("POST", `/api/v1/classify?${query}`);
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = (event) => options.progress?.(event.loaded / Math.max(1, event.total));
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) {
        try {
          resolve(JSON.parse(request.responseText) as Answer);
        } catch {
          reject(new ApiError("bad_answer", "The server's answer could not be understood. Is a proxy in between?"));
        }
      } else reject(failure(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new ApiError("unreachable", UNREACHABLE));
    request.onabort = () => reject(new ApiError("cancelled", "Cancelled."));
    options.signal?.addEventListener("abort", () => request.abort(), { once: true });
    if (options.signal?.aborted) reject(new ApiError("cancelled", "Cancelled."));
    else request.send(file);
  });
}

/** The model in use, or nothing when there is none. */
export async function currentModel(): Promise<Model | undefined> {
  const { model } = await getJson<{ model: Model | null }>("/api/v1/model");
  return model ?? undefined;
}

export async function examples(): Promise<Example[]> {
  const found = await getJson<Example[] | { examples: Example[] }>("/api/v1/examples");
  return Array.isArray(found) ? found : found.examples;
}

export async function exampleClip(name: string): Promise<Blob> {
  return (await ask(`/api/v1/examples/${encodeURIComponent(name)}`)).blob();
}

export async function sendFeedback(report: {
  file: Blob;
  filename: string;
  label: string;
  predicted: string;
  correct: boolean;
  model: Model;
}): Promise<void> {
  const form = new FormData();
  form.set("label", report.label);
  form.set("predicted", report.predicted);
  form.set("correct", String(report.correct));
  form.set("model_version", String(report.model.version ?? ""));
  form.set("file", report.file, report.filename);
  await ask("/api/v1/feedback", { method: "POST", body: form });
}

async function getJson<T>(path: string): Promise<T> {
  return (await (await ask(path)).json()) as T;
}

async function ask(path: string, init?: RequestInit): Promise<Response> {
  const response = await fetch(path, init).catch(() => {
    throw new ApiError("unreachable", UNREACHABLE);
  });
  if (!response.ok) throw failure(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

function failure(status: number, body: string, retryAfter: string | null): ApiError {
  const seconds = retryAfter ? Number(retryAfter) || 1 : undefined;
  let told: Failure | undefined;
  try {
    told = (JSON.parse(body) as { error?: Failure }).error;
  } catch {
    // Not ours: a proxy's page, most likely.
  }
  if (status === 401) return new ApiError("unauthenticated", "You are no longer logged in. Load this page again to log in.", undefined, status);
  if (told?.message) return new ApiError(told.code, inWords(told), seconds, status);
  if (status === 413) return new ApiError("too_large", "The file is larger than this server takes.", undefined, status);
  if (status === 503) return new ApiError("busy", "The server is busy.", seconds ?? 1);
  // A proxy that stands before a server which is not there.
  if (status === 502 || status === 504) return new ApiError("unreachable", UNREACHABLE, undefined, status);
  return new ApiError("failed", `The server failed (status ${status}).`, undefined, status);
}

/** What the server says, for people. */
export function inWords(told: Failure): string {
  return sentence(plain(told.message));
}

/**
 * In plain words: without the file's name, which stands beside the message, and what
 * is code in a terminal in quotation marks.
 */
function plain(text: string): string {
  const alone = text.replace(/^`[^`]*`: /, "");
  const unknown = /^not audio of a known format: it begins with `/.test(alone);
  return unknown ? "this is no sound that can be read: its format is none of WAV, FLAC, MP3, Ogg, M4A or AIFF" : alone.replace(/`([^`]*)`/g, "“$1”");
}

/** Messages are written to be chained; on their own they begin large and end with a stop. */
function sentence(text: string): string {
  const begun = text.charAt(0).toLocaleUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
