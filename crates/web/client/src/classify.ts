// The classify page: joins the ways in (upload, recorder, live, examples), the
// queue and what shows its answers.
import { currentModel, ApiError, exampleClip, examples } from "./api";
import { knownSounds, modelLink, modelName } from "./classify/answer";
import { History, type Kept } from "./classify/history";
import { MOST_KEPT_AT_ONCE, newItem, Queue, type Item } from "./classify/items";
import { refusal } from "./classify/limits";
import { Live } from "./classify/live";
import { Microphone } from "./classify/microphone";
import { Recorder } from "./classify/recorder";
import { Results } from "./classify/results";
import { wireUpload } from "./classify/upload";
import type { Model } from "./contract";
import { find, h, icon, replace } from "./ui/dom";
import { title } from "./ui/format";
import { toast } from "./ui/toast";

const MOST_EXAMPLES = 12;
const MODEL_MS = 20_000;

function start(): void {
  let history: History | undefined;
  const remember = (item: Item): void => void history?.keep(item);
  const results: Results = new Results(find("#results"), find("#results-live"), () => queue, remember);
  const note = (model: Model): void => {
    if (noteModel(model)) offer();
  };
  const kept = new Set<Item>();
  const queue: Queue = new Queue((item) => {
    results.update(item);
    if (item?.state === "done" && !kept.has(item)) {
      kept.add(item);
      if (item.answer) note(item.answer.model);
      if (queue.items.length <= MOST_KEPT_AT_ONCE) remember(item);
    }
  });

  /** One new sound takes the place of the last answer; many, or one while another is asked about, make a table. */
  const ask = (items: Item[]): void => {
    if (items.length === 0) return;
    if (items.length === 1 && queue.items.length === 1 && queue.counts.open === 0) queue.replace(items);
    else queue.add(items);
    results.reveal();
  };

  wireUpload((uploads) => ask(uploads.map(({ name, file }) => newItem(name, file, "upload", refusal(file)))));
  const microphone = new Microphone();
  const recorder = new Recorder(microphone, (clip, name) => ask([newItem(name, clip, "recording")]));
  const live = new Live(microphone, note);
  wireModes(recorder, live);
  const offer = (): void => void offerExamples((name, clip) => ask([newItem(name, clip, "example")]));
  offer();
  history = new History(find("#history"), (entry) => {
    // A table of answers stays: what was heard earlier joins it.
    if (queue.items.length === 1 && queue.counts.open === 0) queue.clear();
    const item = queue.items.find(({ historyId }) => historyId === entry.id) ?? fromHistory(entry);
    if (!queue.items.includes(item)) queue.addDone(item);
    results.reveal();
    void results.unfold(item);
  });
  addEventListener("beforeunload", (event) => {
    // Of a single file little is lost.
    if (recorder.isRecording || (queue.items.length > 1 && queue.counts.open > 0)) event.preventDefault();
  });
  followModel(note);
  // For bench/web_page.mjs: from here on the page does what it is asked.
  performance.mark("usable");
}

function fromHistory(entry: Kept): Item {
  const item = newItem(entry.name, entry.clip, "history");
  item.state = "done";
  item.answer = entry.answer;
  item.verdict = entry.verdict;
  item.at = entry.at;
  item.historyId = entry.id;
  return item;
}

/** The microphone's corner belongs to two of the three ways in; leaving one stops it. */
function wireModes(recorder: Recorder, live: Live): void {
  const corner = find("#mic");
  const modes = find("#modes");
  const show = (): void => {
    const chosen = modes.querySelector("[aria-selected=true]")?.id;
    corner.hidden = chosen === "tab-upload";
    if (chosen !== "tab-record") void recorder.stop();
    if (chosen !== "tab-live") void live.stop();
  };
  modes.addEventListener("tabchange", show);
  show();
}

async function offerExamples(answer: (name: string, clip: Blob) => void): Promise<void> {
  const host = find("#examples");
  const found = await examples().catch(() => []);
  if (found.length === 0) return;
  const buttons = found.slice(0, MOST_EXAMPLES).map((example) =>
    h("button", { class: "btn btn-small", type: "button", title: example.source, onclick: async (event: Event) => {
      const button = event.currentTarget as HTMLButtonElement;
      button.disabled = true;
      try {
        answer(example.name, await exampleClip(example.name));
      } catch (error) {
        toast(error instanceof ApiError ? error.message : String(error));
      }
      button.disabled = false;
    } }, icon("play"), title(example.title ?? example.label ?? example.name)));
  replace(host, h("span", { class: "muted" }, "No recording at hand? Try"), buttons);
  host.hidden = false;
}

let shown = document.querySelector<HTMLElement>("#model-line")?.dataset["model"];

/** The model can be replaced while the page is open; the line under the heading follows. Whether it was. */
function noteModel(model: Model): boolean {
  const version = `${model.name} ${model.version ?? ""}`;
  if (version === shown) return false;
  const line = document.querySelector("#model-line");
  if (line) replace(line, modelLink(model), ` ${knownSounds(model.labels)}`);
  if (shown !== undefined) toast(`From now on ${modelName(model)} answers.`);
  shown = version;
  return true;
}

/** The model may change while nobody asks for anything: who comes back to the page sees it at once, others soon. */
function followModel(note: (model: Model) => void): void {
  const look = async (): Promise<void> => {
    const model = document.hidden ? undefined : await currentModel().catch(() => undefined);
    if (model) note(model);
  };
  document.addEventListener("visibilitychange", () => void look());
  setInterval(() => void look(), MODEL_MS);
}

/** Without a model the page looks every few seconds whether there is one; ui/live-page.ts tells of the demo's training. */
function waitForModel(): void {
  const look = async (): Promise<void> => {
    if (!document.hidden && (await currentModel().catch(() => undefined))) location.reload();
    else setTimeout(() => void look(), 3000);
  };
  setTimeout(() => void look(), 3000);
}

if (document.querySelector("#ways")) start();
else waitForModel();
