// Where the focus goes when what had it is replaced: without this it falls to the
// page's beginning, and whoever uses the keyboard has to find the way back.

/** Changes what is in `host`; a focus in there stays, on what `next` finds or else on `host` itself. */
export function keepFocus(host: HTMLElement, change: () => void, next: () => HTMLElement | null = () => host.querySelector("button")): void {
  const hadFocus = host.contains(document.activeElement);
  change();
  const { activeElement } = document;
  if (!hadFocus || (activeElement !== host && host.contains(activeElement))) return;
  focusOn(next() ?? host);
}

export function focusOn(element: HTMLElement): void {
  if (element.tabIndex < 0) element.tabIndex = -1;
  element.focus({ preventScroll: true });
}
