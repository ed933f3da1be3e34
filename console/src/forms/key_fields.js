// What operators decide about a key, as form fields: limits, the most that a request may cost, its priority.
import { html } from "../html.js";
import { num } from "../format.js";
import { MEMBERS } from "../generated/fields.js";
import { t } from "../i18n.js";
import { LimitsEditor, sent } from "../limits.js";
import { SelectField, TextField } from "../ui/controls.js";

/** @typedef {{limits: any[], max_price: string, priority: any}} KeyFields `max_price`: USD, as typed */

/** @param {import("../generated/types.d.ts").Key} [key] @returns {KeyFields} */
export const begin = (key) => ({
  limits: (key?.limits ?? []).map(sent),
  max_price: num(key?.max_price) ? String(num(key?.max_price) / 1e6) : "",
  priority: key?.priority ?? "PRIORITY_NORMAL",
});

/** The fields as they are sent. @param {KeyFields} form */
export const written = ({ limits, max_price, priority }) => ({ limits, max_price: String(Math.round(Number(max_price) * 1e6) || 0), priority });

/** @param {{value: KeyFields, onValue: (next: KeyFields) => void}} props */
export const OperatorFields = ({ value, onValue }) => html`
  <div class="form-grid">
    <${TextField} label=${t("key.max_price")} hint=${t("key.max_price_hint")} optional value=${value.max_price} inputmode="decimal"
      onValue=${(max_price) => onValue({ ...value, max_price })} />
    <${SelectField} label=${t("key.priority")} hint=${t("key.priority_hint")} value=${value.priority}
      options=${MEMBERS.Priority.map((each) => [each, t(`priority.${each}`)])} onValue=${(priority) => onValue({ ...value, priority })} />
  </div>
  <${LimitsEditor} value=${value.limits} onValue=${(limits) => onValue({ ...value, limits })} />
`;
