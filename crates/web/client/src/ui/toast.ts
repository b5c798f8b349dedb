// Short notes at the foot of the page that go away by themselves.
import { h } from "./dom";

let host: HTMLElement | undefined;

export function toast(text: string, link?: { href: string; text: string }): void {
  if (!host) {
    host = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.appendChild(host);
  }
  const note = h("div", { class: "toast" }, text, link && h("a", { href: link.href }, link.text));
  host.appendChild(note);
  setTimeout(() => note.remove(), 6000);
}
