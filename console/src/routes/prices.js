// A target's prices other than those of prompt and completion tokens, as form fields.
import { html } from "../html.js";
import { num } from "../format.js";
import { t } from "../i18n.js";
import { TextField } from "../ui/controls.js";

/** USD per million of a unit, and USD each; what stands in micro-USD in both cases. */
const PER_MILLION = ["cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output", "audio_second_input", "audio_second_output", "character"];
const EACH = ["request", "search_unit"];
const NAMES = [...PER_MILLION, ...EACH];

/** Converts USD, as typed, to micro-USD; undefined for an empty field. @param {string} text */
export const micro = (text) => (text === "" ? undefined : String(Math.round(Number(text) * 1e6)));
/** @param {string | number | undefined} value micro-USD */
export const usd = (value) => (value === undefined ? "" : String(num(value) / 1e6));

/** The stored prices as the form has them, by field. */
export const begin = (price) => Object.fromEntries(NAMES.map((name) => [name, usd(price?.[name])]));

/** The prices that the form describes. An empty field has none. */
export const written = (form) => Object.fromEntries(NAMES.map((name) => [name, micro(form[name])]));

export const isGiven = (form) => NAMES.some((name) => form[name] !== "");

/** @param {{value: Record<string, string>, onValue: (next: Record<string, string>) => void}} props */
export const Prices = ({ value, onValue }) => html`
  <details class="wide">
    <summary>${t("price.more")}</summary>
    <div class="form-grid after">
      ${NAMES.map(
        (name) => html`<${TextField} label=${`${t(`price.${name}`)}, ${t(EACH.includes(name) ? "price.each" : "price.per_million")}`} value=${value[name]}
          onValue=${(text) => onValue({ ...value, [name]: text })} inputmode="decimal" />`,
      )}
    </div>
    <p class="hint">${t("price.hint")}</p>
  </details>
`;
