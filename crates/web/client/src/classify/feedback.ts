// "Is that right?": the listener's word for a clip, kept by the server as a
// reviewed example. Nothing is sent before a button is pressed.
import { ApiError, sendFeedback } from "../api";
import type { Answer } from "../contract";
import { h, icon, replace } from "../ui/dom";
import { title } from "../ui/format";
import type { Item } from "./items";
import { canEdit } from "./limits";

export function feedback(item: Item, answer: Answer, remember: (item: Item) => void): HTMLElement {
  const best = answer.predictions[0]?.label ?? "";
  const body = h("div", { class: "stack-s" });
  const element = h("section", { class: "feedback", "aria-label": "Your word on it" }, h("h4", {}, "Is that right?"), body);

  const send = async (label: string): Promise<void> => {
    if (!item.clip) return;
    replace(body, h("p", { class: "muted", role: "status" }, "Sending…"));
    try {
      await sendFeedback({ file: item.clip, filename: item.name, label, predicted: best, correct: label === best, model: answer.model });
      item.verdict = label;
      remember(item);
      thanks(label);
      body.querySelector<HTMLElement>("p")?.focus();
    } catch (error) {
      ask();
      body.querySelector<HTMLElement>("button")?.focus();
      body.append(h("p", { class: "field-error", role: "alert" }, error instanceof ApiError ? error.message : String(error)));
    }
  };

  const thanks = (label: string): void => {
    const isKnown = answer.model.labels.includes(label);
    const next = isKnown
      ? [". Training includes it with the setting ", h("code", {}, "data.reviewed = true"), "."]
      : [", which this model does not know. Training learns it only when the recordings have a folder of that name, too."];
    replace(body, h("p", { class: "thanks", role: "status", tabindex: "-1" }, icon("check"), h("span", {}, "Kept as a reviewed example of ", h("b", {}, title(label)), next)));
  };

  const ask = (): void => {
    const right = h("button", { class: "btn", type: "button", onclick: () => void send(best) }, icon("check"), answer.accepted ? "Correct" : `It is ${title(best)}`);
    const wrong = h("button", { class: "btn", type: "button", onclick: () => correct() }, icon("cross"), answer.accepted ? "Wrong, it is …" : "It is something else …");
    replace(body,
      h("div", { class: "actions" }, right, wrong),
      h("p", { class: "hint" }, "Your answer stores this clip with its name on the server, for the next training."));
  };

  const correct = (): void => {
    const listId = `labels-${item.id}`;
    const field = h("input", { class: "input", list: listId, id: `label-${item.id}`, autocomplete: "off", required: true, maxlength: "80", placeholder: "Choose or type a name" });
    const form = h("form", { class: "correct" },
      h("div", { class: "field" }, h("label", { for: field.id }, "What is it really?"), field),
      h("datalist", { id: listId }, answer.model.labels.filter((label) => label !== best || !answer.accepted).map((label) => h("option", { value: label }))),
      h("div", { class: "actions" },
        h("button", { class: "btn btn-primary btn-small", type: "submit" }, "Store"),
        h("button", { class: "btn btn-quiet btn-small", type: "button", onclick: () => {
          ask();
          body.querySelector<HTMLElement>("button:last-of-type")?.focus();
        } }, "Never mind")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const typed = field.value.trim();
      // A label that the model knows is taken in the model's spelling.
      const known = answer.model.labels.find((label) => label.toLocaleLowerCase() === typed.toLocaleLowerCase());
      if (typed) void send(known ?? typed);
    });
    replace(body, form);
    field.focus();
  };

  if (item.verdict !== undefined) thanks(item.verdict);
  else if (!canEdit()) replace(body, h("p", { class: "muted" }, "Editors can say so, and store the clip for the next training. ", h("a", { href: "/login" }, "Log in as an editor")));
  else if (!item.clip) replace(body, h("p", { class: "muted" }, "The clip is no longer there to be stored."));
  else ask();
  return element;
}
