// A button for what was chosen: it waits until as many boxes of its form are ticked
// as its `data-needs` says.

export function needsChosen(button: HTMLButtonElement): void {
  const { form } = button;
  if (!form) return;
  const needed = Number(button.dataset["needs"]);
  const look = (): void => {
    const enough = form.querySelectorAll("input:checked").length >= needed;
    button.disabled = !enough;
    button.title = enough ? "" : `Choose at least ${needed}`;
  };
  form.addEventListener("change", look);
  // Browsers that go back tick again what was ticked.
  addEventListener("pageshow", look);
  look();
}
