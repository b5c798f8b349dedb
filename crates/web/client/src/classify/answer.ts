// One answer: the verdict, the clip on its time axis, how sure the model is, the
// scored windows, and what the listener says to it (feedback.ts).
import type { Answer, Model } from "../contract";
import { TimeView } from "../sound/timeview";
import { Player } from "../sound/player";
import { bar, h, icon, replace, type Child } from "../ui/dom";
import { duration, kilohertz, milliseconds, percent, sentence, title } from "../ui/format";
import { classColor } from "../ui/theme";
import { download } from "../ui/download";
import { feedback } from "./feedback";
import type { Item } from "./items";

const SHOWN = 5;
const MOST_NAMED = 12;

export interface AnswerCard {
  element: HTMLElement;
  /** Draws the canvases at once; call when the card is in the page. */
  drawNow(): void;
  close(): void;
}

export function answerCard(item: Item, remember: (item: Item) => void): AnswerCard {
  const answer = item.answer;
  if (!answer) throw new Error("an answer card needs an answer");
  const player = new Player(item.clip);
  const view = new TimeView(answer, player);
  const element = h(
    "article",
    { class: "answer", "aria-label": `Answer for ${item.name}` },
    h("header", { class: "answer-head" }, verdict(item.name, answer), actions(item, player)),
    answer.clip.warnings.length > 0 && h("div", { class: "callout callout-warn" }, answer.clip.warnings.map((warning) => h("p", {}, sentence(warning)))),
    view.element,
    h("div", { class: "answer-foot" }, probabilities(answer), feedback(item, answer, remember)),
    windowsTable(answer),
  );
  return { element, drawNow: () => view.drawNow(), close: () => player.close() };
}

function verdict(name: string, answer: Answer): HTMLElement {
  const best = answer.predictions[0];
  const share = best ? percent(best.probability) : "";
  const { threshold } = answer.model;
  const heading: Child = answer.accepted
    ? h("h3", { class: "verdict-name" }, title(best?.label ?? "nothing"), " ", h("span", { class: "verdict-share" }, share))
    : h("h3", { class: "verdict-name unknown" }, "Unknown");
  const closest = !answer.accepted && best
    ? h("p", { class: "verdict-why" }, `Closest is ${title(best.label)} with ${share}`, threshold === null || best.probability >= threshold ? "." : `; this model answers from ${percent(threshold)} on.`)
    : null;
  return h(
    "div",
    { class: "verdict" },
    h("p", { class: "eyebrow" }, "Heard in ", h("span", { class: "filename" }, name)),
    heading,
    closest,
    h("p", { class: "facts" },
      `${duration(answer.clip.duration_seconds)} at ${kilohertz(answer.clip.sample_rate_hz)}`,
      " · answered in ", h("span", { class: "latency" }, milliseconds(answer.latency_ms.total)),
      " by ", modelLink(answer.model)),
  );
}

/** The model's name and version, leading to the run that made it. */
export function modelLink(model: Model): HTMLElement {
  const text = modelName(model);
  return model.run_id ? h("a", { href: `/runs/${encodeURIComponent(model.run_id)}`, class: "model-name" }, text) : h("span", { class: "model-name" }, text);
}

/** What a model knows, where there is no room for hundreds of names. As in src/pages/home.rs. */
export function knownSounds(labels: readonly string[]): string {
  const names = labels.slice(0, MOST_NAMED).join(", ").replaceAll("_", " ");
  return `knows ${labels.length} sounds${labels.length > MOST_NAMED ? ", among them " : ": "}${names}.`;
}

export function modelName(model: Model): string {
  return model.version === null || model.version === undefined ? model.name : `${model.name} version ${model.version}`;
}

function actions(item: Item, player: Player): HTMLElement {
  const play = h("button", { class: "btn btn-primary play", type: "button" });
  const note = h("p", { class: "hint play-note", hidden: true });
  const show = (): void => {
    replace(play, icon(player.playing ? "pause" : "play"), player.playing ? "Pause" : "Play");
    play.disabled = !player.playable;
    note.hidden = player.playable;
    note.textContent = item.clip ? "This browser cannot play this format. The answer is not affected." : "This clip was too long to keep in the history.";
  };
  play.addEventListener("click", () => player.toggle());
  player.onState(show);
  show();
  const keep = item.source === "recording" && item.clip
    ? h("button", { class: "btn", type: "button", onclick: () => item.clip && download(item.clip, item.name) }, icon("download"), "WAV")
    : null;
  return h("div", { class: "answer-actions" }, h("div", { class: "actions" }, keep, play), note);
}

function probabilities(answer: Answer): HTMLElement {
  const { labels, threshold } = answer.model;
  const row = ({ label, probability }: { label: string; probability: number }): HTMLElement => {
    const fill = bar(probability);
    fill.style.setProperty("--bar", classColor(labels.indexOf(label)));
    return h("div", {}, h("dt", {}, title(label)), h("dd", {}, fill), h("dd", { class: "num" }, percent(probability)));
  };
  const rest = answer.predictions.slice(SHOWN);
  const list = h("dl", { class: "bars" }, answer.predictions.slice(0, SHOWN).map(row));
  const more = rest.length > 0 && h("button", { class: "btn btn-quiet btn-small", type: "button", onclick: (event: Event) => {
    list.append(...rest.map(row));
    (event.currentTarget as HTMLElement).remove();
  } }, icon("chevron"), `${rest.length} more`);
  return h(
    "section",
    { class: "probabilities", "aria-label": "Probabilities" },
    h("h4", {}, "How sure it is"),
    list,
    more,
    threshold !== null && h("p", { class: "hint" }, `Below ${percent(threshold)} it says “unknown”.`),
  );
}

function windowsTable(answer: Answer): Child {
  if (answer.windows.length < 2) return null;
  const rows = answer.windows.map((window) => {
    const [best, second] = window.predictions;
    return h("tr", {},
      h("td", { class: "num" }, `${window.start_seconds.toFixed(1)} – ${window.end_seconds.toFixed(1)} s`),
      h("td", {}, best ? title(best.label) : ""),
      h("td", { class: "num" }, best ? percent(best.probability) : ""),
      h("td", {}, second ? `${title(second.label)} ${percent(second.probability)}` : ""));
  });
  const table = h("table", { class: "table dense" },
    h("thead", {}, h("tr", {}, h("th", { class: "num", scope: "col" }, "Time"), h("th", { scope: "col" }, "Heard"), h("th", { class: "num", scope: "col" }, "How sure"), h("th", { scope: "col" }, "Next"))),
    h("tbody", {}, rows));
  return h("details", { class: "windows" }, h("summary", {}, `${answer.windows.length} windows, one by one`), h("div", { class: "table-wrap", tabindex: "0", role: "region", "aria-label": "Scored windows" }, table));
}
