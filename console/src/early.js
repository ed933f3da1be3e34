// Runs before the first paint, so that the page appears in the right theme and language at once.
(() => {
  const root = document.documentElement;
  try {
    const theme = localStorage.getItem("trunkline.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    const language = localStorage.getItem("trunkline.language") || navigator.language;
    root.lang = language.toLowerCase().startsWith("ru") ? "ru" : "en";
  } catch {
    root.lang = "en"; // storage is blocked: the defaults serve
  }
})();
