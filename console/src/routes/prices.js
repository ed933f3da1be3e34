// A target's prices beside those of prompt and completion tokens, as form fields.
import { html } from "../html.js";
import { num } from "../format.js";
import { t } from "../i18n.js";
import { Rows } from "../settings/entries.js";
import { localTime, unixSeconds } from "../times.js";
import { TextField } from "../ui/controls.js";

/** USD per million of a unit, and USD each; what stands in micro-USD in both cases. */
const TOKENS = ["cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output"];
const PER_MILLION = [...TOKENS, "audio_second_input", "audio_second_output", "character"];
const EACH = ["request", "search_unit"];
const NAMES = [...PER_MILLION, ...EACH];
/** The fields of Rates; the first two are required. */
const BOTH = ["input", "output"];
const RATES = [...BOTH, ...TOKENS];

/** Converts USD, as typed, to micro-USD; undefined for an empty field. @param {string} text */
export const micro = (text) => (text === "" ? undefined : String(Math.round(Number(text) * 1e6)));
/** @param {string | number | undefined} value micro-USD */
export const usd = (value) => (value === undefined ? "" : String(num(value) / 1e6));

const each = (names, value) => Object.fromEntries(names.map((name) => [name, value(name)]));

const rates = { begin: (of) => each(RATES, (name) => usd(of?.[name])), written: (form) => each(RATES, (name) => micro(form[name])) };

const tiers = {
  begin: (of = []) => of.map((tier) => ({ above: String(tier.above ?? ""), ...rates.begin(tier.rates) })),
  written: (form) => form.map(({ above, ...of }) => ({ above: String(Math.round(Number(above) || 0)), rates: rates.written(of) })),
};

/** The stored prices as the form has them, by field. */
export const begin = (price) => ({
  ...each(NAMES, (name) => usd(price?.[name])),
  images: (price?.images ?? []).map((image) => ({ name: image.name ?? "", price: usd(image.price ?? 0) })),
  tiers: tiers.begin(price?.tiers),
  service_tiers: (price?.service_tiers ?? []).map((tier) => ({ name: tier.name ?? "", tiers: tiers.begin(tier.tiers), ...rates.begin(tier.rates) })),
  valid_from: num(price?.valid_from) > Date.now() / 1000 ? localTime(price.valid_from) : "",
});

/** The prices that the form describes. An empty field has none. */
export const written = (form) => ({
  ...each(NAMES, (name) => micro(form[name])),
  images: form.images.map(({ name, price }) => ({ name, price: micro(price) ?? "0" })),
  tiers: tiers.written(form.tiers),
  service_tiers: form.service_tiers.map(({ name, tiers: inner, ...of }) => ({ name, rates: rates.written(of), tiers: tiers.written(inner) })),
  valid_from: unixSeconds(form.valid_from),
});

export const isGiven = (form) => NAMES.some((name) => form[name] !== "") || form.images.length + form.tiers.length + form.service_tiers.length > 0;

/** @param {{value: Record<string, any>, onValue: (next: Record<string, any>) => void}} props */
export function Prices({ value, onValue }) {
  const set = (name) => (next) => onValue({ ...value, [name]: next });
  return html`
    <details class="wide">
      <summary>${t("price.more")}</summary>
      <div class="stack after">
        <div class="form-grid"><${Amounts} names=${NAMES} value=${value} change=${onValue} /></div>
        <p class="hint">${t("price.hint")}</p>
        <${Tiers} rows=${value.tiers} onRows=${set("tiers")} />
        <${Rows} title=${t("price.service_tiers")} hint=${t("price.service_tiers_hint")} rows=${value.service_tiers} onRows=${set("service_tiers")} class="rate-row"
          fresh=${{ name: "", tiers: [], ...rates.begin({}) }} add=${t("price.add_service_tier")} removeLabel=${(row) => t("price.remove_row", { name: row.name })}>
          ${(row, change) => html`
            <${TextField} label=${t("price.service_tier")} value=${row.name} onValue=${(name) => change({ name })} placeholder="flex" />
            <${Rate} row=${row} change=${change} />
            <div class="wide"><${Tiers} rows=${row.tiers} onRows=${(next) => change({ tiers: next })} /></div>
          `}
        <//>
        <${Rows} title=${t("price.images")} hint=${t("price.images_hint")} rows=${value.images} onRows=${set("images")} class="pair-row"
          fresh=${{ name: value.images.length ? "" : "default", price: "" }} add=${t("price.add_image")} removeLabel=${(row) => t("price.remove_row", { name: row.name })}>
          ${(row, change) => html`
            <${TextField} label=${t("price.image")} value=${row.name} onValue=${(name) => change({ name })} placeholder="1024x1024/high" />
            <${TextField} label=${t("price.each")} value=${row.price} onValue=${(price) => change({ price })} inputmode="decimal" />
          `}
        <//>
        <${TextField} label=${t("price.valid_from")} hint=${t("price.valid_from_hint")} type="datetime-local" step="1" optional value=${value.valid_from} onValue=${set("valid_from")} />
      </div>
    </details>
  `;
}

const Amounts = ({ names, value, change }) =>
  names.map(
    (name) => html`<${TextField} key=${name} label=${`${t(`price.${name}`)}, ${t(EACH.includes(name) ? "price.each" : "price.per_million")}`} value=${value[name]}
      onValue=${(text) => change({ ...value, [name]: text })} inputmode="decimal" />`,
  );

/** The rates of one row: the two required ones, and the others. */
const Rate = ({ row, change }) => html`
  ${BOTH.map((name) => html`<${TextField} key=${name} label=${t(`route.${name}`)} value=${row[name]} onValue=${(text) => change({ [name]: text })} inputmode="decimal" />`)}
  <details class="wide">
    <summary>${t("price.rates")}</summary>
    <div class="form-grid after"><${Amounts} names=${TOKENS} value=${row} change=${change} /></div>
  </details>
`;

/** Other rates by the length of the prompt. */
const Tiers = ({ rows, onRows }) => html`
  <${Rows} title=${t("price.tiers")} hint=${t("price.tiers_hint")} rows=${rows} onRows=${onRows} class="rate-row" fresh=${{ above: "", ...rates.begin({}) }}
    add=${t("price.add_tier")} removeLabel=${(row) => t("price.remove_row", { name: row.above })}>
    ${(row, change) => html`
      <${TextField} label=${t("price.above")} value=${row.above} onValue=${(above) => change({ above })} inputmode="numeric" placeholder="200000" />
      <${Rate} row=${row} change=${change} />
    `}
  <//>
`;
