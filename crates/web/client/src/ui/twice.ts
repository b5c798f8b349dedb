// A button for what cannot be taken back: the first press asks, the second does it.

const PATIENCE_MS = 5000;

/** `question` says what is asked; nothing where a single press is enough. */
export function twice(button: HTMLButtonElement, question: () => string | undefined, act: () => void): void {
  const said = button.textContent;
  let asking: ReturnType<typeof setTimeout> | undefined;
  const calm = (): void => {
    clearTimeout(asking);
    asking = undefined;
    button.textContent = said;
    button.classList.remove("btn-danger");
  };
  // The question stands on the button itself, and is to be heard as well.
  button.setAttribute("aria-live", "polite");
  button.addEventListener("blur", calm);
  button.addEventListener("click", () => {
    const asked = question();
    if (asking !== undefined || asked === undefined) {
      calm();
      act();
      return;
    }
    button.textContent = asked;
    button.classList.add("btn-danger");
    asking = setTimeout(calm, PATIENCE_MS);
  });
}
