// Limits as texts and as form fields.
import { html, useState } from "./html.js";
import { plain } from "./forms/other.js";
import { count, micro, num } from "./format.js";
import { MEMBERS } from "./generated/fields.js";
import { has, t, word } from "./i18n.js";
import { Button, CheckField, IconButton, SelectField, TextField } from "./ui/controls.js";
import { Badge } from "./ui/feedback.js";

/** @typedef {import("./generated/types.d.ts").Limit} Limit */

/** Windows by their value in the form: seconds, or a calendar period. */
const WINDOWS = {
  minute: { per_seconds: "60" },
  hour: { per_seconds: "3600" },
  hours24: { per_seconds: "86400" },
  days30: { per_seconds: "2592000" },
  day: { calendar: "CALENDAR_DAY" },
  week: { calendar: "CALENDAR_WEEK" },
  month: { calendar: "CALENDAR_MONTH" },
};

/** A metric's name, in plain words if it has no text yet. @param {string} metric */
const metricName = (metric) => word(`metric.name.${metric}`, plain("Metric", metric));

/** `600 requests per minute`. @param {Limit} limit */
export function limitText(limit) {
  const amount = limit.metric === "METRIC_COST_USD" ? micro(limit.amount) : count(limit.amount);
  const key = `metric.${limit.metric}`;
  const what = has(key) ? t(`metric.${limit.metric}`, { amount, n: num(limit.amount) }) : `${amount} ${metricName(limit.metric ?? "")}`;
  const window = windowText(limit);
  const each = limit.each && limit.each !== "EACH_UNSPECIFIED" && has(`limits.each.${limit.each}`) ? t(`limits.each.${limit.each}`) : "";
  const more = [limit.model, each, limit.soft ? t("limits.soft") : ""].filter(Boolean);
  return [window ? `${what} ${window}` : what, ...more].join(" · ");
}

function windowText(limit) {
  if (limit.metric === "METRIC_CONCURRENCY") return "";
  const calendar = limit.calendar && limit.calendar !== "CALENDAR_UNSPECIFIED";
  if (calendar) return t(`per.${limit.calendar}`) + (limit.time_zone ? ` (${limit.time_zone})` : "");
  const seconds = num(limit.per_seconds);
  return has(`per.${seconds}`) ? t(`per.${seconds}`) : t("per.seconds", { n: seconds });
}

/** @param {{limits: Limit[] | undefined}} props */
export const Limits = ({ limits = [] }) =>
  limits.length
    ? html`<span class="limits">${limits.map((each) => html`<${Badge}>${limitText(each)}<//>`)}</span>`
    : html`<span class="muted">${t("limits.none")}</span>`;

/** The key of the limit's window; `seconds` for any other length. */
const windowOf = (limit) =>
  Object.keys(WINDOWS).find((each) =>
    limit.calendar ? WINDOWS[each].calendar === limit.calendar : WINDOWS[each].per_seconds === String(limit.per_seconds),
  ) ?? "seconds";

/**
 * Rows to change.
 * @param {{value: Limit[], onValue: (next: Limit[]) => void, ofRoute?: boolean}} props A route's limits are about its model.
 */
export function LimitsEditor({ value, onValue, ofRoute = false }) {
  // A row has state of its own, which must not become that of the row after a removed one.
  const [ids, setIds] = useState(() => value.map((_, index) => index));
  const change = (index, next) => onValue(value.map((each, at) => (at === index ? next : each)));
  const add = () => {
    setIds([...ids, Math.max(-1, ...ids) + 1]);
    onValue([...value, { metric: "METRIC_REQUESTS", per_seconds: "60", amount: "60" }]);
  };
  const remove = (index) => {
    setIds(ids.filter((_, at) => at !== index));
    onValue(value.filter((_, at) => at !== index));
  };
  return html`
    <fieldset class="stack">
      <legend><strong>${t("limits.title")}</strong></legend>
      ${value.map(
        (limit, index) => html`
          <div class="limit-row" key=${ids[index]}>
            <${LimitFields} limit=${limit} onLimit=${(next) => change(index, next)} />
            <${IconButton} icon="close" label=${t("limits.remove")} onClick=${() => remove(index)} />
            <${MoreOfLimit} limit=${limit} ofRoute=${ofRoute} onLimit=${(next) => change(index, next)} />
          </div>
        `,
      )}
      <div><${Button} icon="plus" onClick=${add}>${t("limits.add")}<//></div>
    </fieldset>
  `;
}

function LimitFields({ limit, onLimit }) {
  const isMoney = limit.metric === "METRIC_COST_USD";
  const [amount, setAmount] = useState(String(isMoney ? num(limit.amount) / 1e6 : limit.amount ?? ""));
  const [chosen, setWindow] = useState(limit.metric === "METRIC_CONCURRENCY" ? "minute" : windowOf(limit));
  const write = (metric, text, per) => {
    const whole = metric === "METRIC_COST_USD" ? Math.round(Number(text) * 1e6) : Math.round(Number(text));
    const { per_seconds, calendar, time_zone, ...rest } = limit;
    const times = per === "seconds" ? { per_seconds: per_seconds ?? "60" } : { ...WINDOWS[per] };
    if ("calendar" in times && time_zone) times.time_zone = time_zone;
    setWindow(per);
    onLimit({ ...rest, metric, amount: String(whole || 0), ...(metric === "METRIC_CONCURRENCY" ? {} : times) });
  };
  return html`
    <${SelectField} label=${t("limits.metric")} value=${limit.metric} options=${MEMBERS.Metric.map((each) => [each, metricName(each)])}
      onValue=${(metric) => write(metric, amount, chosen)} />
    <${TextField} label=${isMoney ? t("limits.amount_usd") : t("limits.amount")} value=${amount} inputmode="decimal"
      onValue=${(text) => (setAmount(text), write(limit.metric, text, chosen))} />
    ${limit.metric !== "METRIC_CONCURRENCY" &&
    html`<${SelectField} label=${t("limits.window")} value=${chosen} options=${[...Object.keys(WINDOWS), "seconds"].map((each) => [each, t(`window.${each}`)])}
      onValue=${(per) => write(limit.metric, amount, per)} />`}
    ${limit.metric !== "METRIC_CONCURRENCY" && chosen === "seconds" &&
    html`<${TextField} label=${t("limits.seconds")} value=${limit.per_seconds ?? ""} inputmode="numeric"
      onValue=${(text) => onLimit({ ...limit, per_seconds: String(Math.round(Number(text)) || 0) })} />`}
  `;
}

/** What few limits have: for whom it counts, of which model, when it alerts, whether it refuses. */
function MoreOfLimit({ limit, ofRoute, onLimit }) {
  const [alerts, setAlerts] = useState((limit.alerts_permille ?? []).map((each) => num(each) / 10).join(", "));
  const set = (name) => (value) => onLimit({ ...limit, [name]: value });
  const shares = (text) => [...new Set(text.split(/[,;\s]+/).map((each) => Math.round(Number(each) * 10)).filter((each) => each > 0))].sort((a, b) => a - b);
  return html`
    <details class="wide">
      <summary>${t("limits.more")}</summary>
      <div class="form-grid after">
        <${SelectField} label=${t("limits.each")} value=${limit.each ?? "EACH_UNSPECIFIED"} onValue=${set("each")}
          options=${["EACH_UNSPECIFIED", "EACH_USER", "EACH_TAG"].map((each) => [each, t(`limits.each.${each}`)])} />
        ${!ofRoute && html`<${TextField} label=${t("limits.model")} optional value=${limit.model ?? ""} onValue=${set("model")} />`}
        ${limit.calendar && html`<${TextField} label=${t("limits.time_zone")} hint=${t("limits.time_zone_hint")} optional value=${limit.time_zone ?? ""} onValue=${set("time_zone")} placeholder="Europe/Berlin" />`}
        <${TextField} label=${t("limits.alerts")} hint=${t("limits.alerts_hint")} optional value=${alerts} inputmode="decimal"
          onValue=${(text) => (setAlerts(text), set("alerts_permille")(shares(text)))} />
      </div>
      <${CheckField} label=${t("limits.is_soft")} hint=${t("limits.is_soft_hint")} checked=${limit.soft ?? false} onValue=${set("soft")} />
    </details>
  `;
}

/** A stored limit as it is sent back. @param {Limit} limit */
export const sent = ({ managed_by, ...rest }) => rest;
