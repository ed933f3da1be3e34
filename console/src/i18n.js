// Texts by key, in the chosen language. Both dictionaries have the same keys, which a test checks.
import { html, signal } from "./html.js";
import { keep } from "./storage.js";

export const LANGUAGES = { en: "English", ru: "Русский" };
export const language = signal(document.documentElement.lang === "ru" ? "ru" : "en");
const texts = signal(/** @type {Record<string, any>} */ ({}));
const loaders = { en: () => import("./i18n/en.js"), ru: () => import("./i18n/ru.js") };

/** Loads a language and shows everything in it. @param {string} next a key of LANGUAGES */
export async function setLanguage(next) {
  texts.value = (await loaders[next]()).default;
  language.value = next;
  document.documentElement.lang = next;
}

/** As setLanguage, and remembers the choice. @param {string} next */
export async function chooseLanguage(next) {
  keep("local", "language", next);
  await setLanguage(next);
}

/** The raw text, in the plural form that `values.n` selects. */
function raw(key, values) {
  const found = texts.value[key] ?? key;
  if (typeof found === "string") return found;
  const form = new Intl.PluralRules(language.value).select(Number(values?.n ?? 0));
  return found[form] ?? found.other;
}

/**
 * A text with `{name}` replaced by `values.name`.
 * @param {string} key @param {Record<string, any>} [values]
 */
export function t(key, values) {
  const text = raw(key, values);
  return values ? text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all)) : text;
}

/** As `t`, where values may be elements. @param {string} key @param {Record<string, any>} values */
export function rich(key, values) {
  const parts = raw(key, values).split(/\{(\w+)\}/);
  return html`${parts.map((part, index) => (index % 2 ? values[part] : part))}`;
}

/** Returns whether this text exists. @param {string} key */
export const has = (key) => key in texts.value;

/**
 * A reason: in the chosen language if the gateway gives a code, else in the gateway's words. A code `object.…` has the
 * kind of the object as its first value.
 * @param {import("./generated/types.d.ts").ReasonCode | undefined} code @param {string | undefined} text
 */
export function reason(code, text) {
  if (!code?.code || !has(`reason.${code.code}`)) return text ?? "";
  const [first, ...rest] = code.values ?? [];
  return t(`reason.${code.code}`, { ...[code.code.startsWith("object.") ? word(`object.${first}`, first) : first, ...rest] });
}

/** A text that may be missing, as of a word of the API that this console does not know. @param {string} key @param {string} otherwise */
export function word(key, otherwise) {
  return has(key) ? t(key) : otherwise;
}
