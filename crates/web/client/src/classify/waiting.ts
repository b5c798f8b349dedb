// The note that a single file is under way, with the way to call it off.
import { h, replace } from "../ui/dom";
import type { Item } from "./items";

export interface WaitingNote {
  item: Item;
  element: HTMLElement;
  /** Follows the item. */
  show(): void;
}

export function waitingNote(item: Item, cancel: () => void): WaitingNote {
  const words = h("span");
  const progress = h("progress", { class: "progress", max: "1", "aria-label": `Sending ${item.name}` });
  const element = h("div", { class: "card row between sending" }, words, progress, h("button", { class: "btn btn-small", type: "button", onclick: cancel }, "Cancel"));
  const show = (): void => {
    replace(words, item.delay !== undefined ? `${item.delay} ` : item.sent >= 1 ? "Listening to " : "Sending ", h("b", {}, item.name));
    if (item.sent < 1 && item.sent > 0) progress.value = item.sent;
    else progress.removeAttribute("value");
  };
  show();
  return { item, element, show };
}
