// Runs before the page is drawn, so that a chosen theme never flashes: the rest
// of the theme switch is in ui/theme.ts. A classic script, because modules wait.
(() => {
  try {
    const theme = localStorage.getItem("biophony.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
  } catch {
    // Storage can be forbidden; the system's preference then decides.
  }
})();
