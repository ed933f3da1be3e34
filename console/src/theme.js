// The theme: light, dark, or the system's.
import { signal } from "./html.js";
import { keep, recall } from "./storage.js";

export const THEMES = ["system", "light", "dark"];
export const theme = signal(recall("local", "theme") || "system");

/** @param {string} next one of THEMES */
export function setTheme(next) {
  theme.value = next;
  keep("local", "theme", next === "system" ? "" : next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}

/** The values of custom properties now, for what is drawn on a canvas. @param {string[]} names */
export function colours(...names) {
  const style = getComputedStyle(document.documentElement);
  return names.map((name) => style.getPropertyValue(`--${name}`).trim());
}
