// What the server takes, as the template says it: what is too large or not allowed is
// told here, without sending it first.
import { find } from "../ui/dom";
import { bytes } from "../ui/format";

function limit(name: "maxBytes" | "maxSeconds" | "maxSamples"): number {
  return Number(find("#ways").dataset[name]);
}

/** Why a file need not be sent; nothing if it may be. */
export function refusal(file: Blob): string | undefined {
  if (file.size === 0) return "The file is empty.";
  if (file.size <= limit("maxBytes")) return undefined;
  return `The file has ${bytes(file.size)}, and this server takes at most ${bytes(limit("maxBytes"))}. Cut it into pieces, or use “biophony classify”.`;
}

/** Whether whoever uses the page may store reviewed examples. */
export function canEdit(): boolean {
  return find("#ways").hasAttribute("data-can-edit");
}

/** The longest recording that is taken, in samples of so many bytes. */
export function longestRecording(rate: number, bytesPerSample: number): number {
  const headroom = 1000;
  return Math.floor(Math.min(limit("maxSeconds") * rate, limit("maxSamples"), (limit("maxBytes") - headroom) / bytesPerSample));
}
