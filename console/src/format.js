// Formats numbers, money and times for the chosen language. 64-bit numbers arrive as strings.
import { language, t } from "./i18n.js";

/** @param {string | number | undefined} value */
export const num = (value) => Number(value ?? 0);

const number = (value, options = {}) => new Intl.NumberFormat(language.value, options).format(num(value));

export const count = (value) => number(value);
export const short = (value) => number(value, { notation: "compact", maximumFractionDigits: 1 });
export const percent = (share) => number(share, { style: "percent", maximumFractionDigits: share < 0.1 ? 1 : 0 });

/** @param {number} usd */
export function usd(usd) {
  const digits = usd === 0 || usd >= 1 ? 2 : usd >= 0.01 ? 4 : 6;
  const options = { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: digits };
  return number(usd, options);
}

export const nano = (value) => usd(num(value) / 1e9);
export const micro = (value) => usd(num(value) / 1e6);

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1000) return t("unit.ms", { n: Math.round(ms) });
  if (ms < 60_000) return t("unit.s", { n: number(ms / 1000, { maximumFractionDigits: ms < 10_000 ? 1 : 0 }) });
  if (ms < 3_600_000) return t("unit.min", { n: Math.round(ms / 60_000) });
  if (ms < 172_800_000) return t("unit.h", { n: Math.round(ms / 3_600_000) });
  return t("unit.d", { n: Math.round(ms / 86_400_000) });
}

/** A point in time. @param {number} ms since 1970 */
export const moment = (ms) =>
  new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }).format(ms);

/** @param {number} ms since 1970 */
export const day = (ms) => new Intl.DateTimeFormat(language.value, { dateStyle: "medium" }).format(ms);

/** Time of day with seconds. @param {number} ms since 1970 */
export const clock = (ms) => new Intl.DateTimeFormat(language.value, { timeStyle: "medium" }).format(ms);

/** Time of day with seconds; with the date for a day other than today. @param {number} ms since 1970 */
export const dated = (ms) => (new Date(ms).toDateString() === new Date().toDateString() ? clock(ms) : moment(ms));

const STEPS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** `5 minutes ago`, `in 3 days`. @param {number} seconds since 1970 */
export function ago(seconds) {
  const away = seconds - Date.now() / 1000;
  const [unit, size] = STEPS.find(([, each]) => Math.abs(away) >= Number(each)) ?? ["second", 1];
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto" });
  return format.format(Math.round(away / Number(size)), /** @type {any} */ (unit));
}

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {string | number | undefined} value */
export function bytes(value) {
  let size = num(value);
  let step = 0;
  while (size >= 1024 && step < BYTES.length - 1) [size, step] = [size / 1024, step + 1];
  return `${number(size, { maximumFractionDigits: size < 10 && step ? 1 : 0 })} ${BYTES[step]}`;
}
