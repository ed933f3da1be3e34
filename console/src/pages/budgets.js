// Budgets: the counts of limits in their current windows, with a forecast.
import { html } from "../html.js";
import { count, micro, num, percent } from "../format.js";
import { t, word } from "../i18n.js";
import { limitText } from "../limits.js";
import { useView } from "../view.js";
import { Badge, Empty, Loaded } from "../ui/feedback.js";
import { Table } from "../ui/table.js";

const EVERY = 10;
const DAY = 86_400;

/** The present date and time of day in a time zone, as if they were those of UTC. @param {string} [zone] IANA name; none: UTC */
function wallClock(zone) {
  const options = /** @type {any} */ ({ timeZone: zone || "UTC", hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en", options).formatToParts(new Date()).map((each) => [each.type, Number(each.value)]));
  return new Date(Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second));
}

/** The elapsed fraction of a limit's window, 0 to 1; 0 for sliding windows and concurrency. */
function passed({ calendar, per_seconds, time_zone }) {
  const now = wallClock(calendar ? time_zone : "");
  const seconds = now.getTime() / 1000;
  const today = (seconds % DAY) / DAY;
  if (calendar === "CALENDAR_DAY") return today;
  if (calendar === "CALENDAR_WEEK") return (((now.getUTCDay() + 6) % 7) + today) / 7;
  if (calendar === "CALENDAR_MONTH") {
    const length = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 0)).getUTCDate();
    return (now.getUTCDate() - 1 + today) / length;
  }
  const length = num(per_seconds);
  return length >= 3600 ? (seconds % length) / length : 0;
}

export function Budgets() {
  const view = useView("ListLimitUses", {}, { every: EVERY });
  const columns = [
    { id: "holder", title: t("budgets.holder"), main: true, sort: (each) => each.holder, cell: (each) => holderText(each.holder) },
    { id: "limit", title: t("budgets.limit"), cell: (each) => limitText(each.limit) },
    { id: "used", title: t("budgets.used"), sort: share, cell: (each) => html`<${Used} use=${each} />` },
    { id: "forecast", title: t("budgets.forecast"), number: true, cell: (each) => html`<${Forecast} use=${each} />` },
  ];
  const empty = html`<${Empty} icon="usage" title=${t("budgets.empty")}><p>${t("budgets.empty_text")}</p><//>`;
  return html`
    <${Loaded} view=${view}>
      ${(data) => html`<${Table} label=${t("budgets.title")} columns=${columns} rows=${data.uses ?? []} rowKey=${(each) => `${each.holder} ${limitText(each.limit)}`}
        search=${(each) => each.holder} empty=${empty} initial="-used" />`}
    <//>
  `;
}

const KINDS = { org: "organisation", key: "key", route: "route" };

/** `key acme/ci` of `key:acme/ci`. @param {string} holder */
function holderText(holder = "") {
  const at = holder.indexOf(":");
  return `${word(`object.${KINDS[holder.slice(0, at)]}`, holder.slice(0, at))} ${holder.slice(at + 1)}`;
}

const share = ({ taken, limit }) => (num(limit?.amount) ? num(taken) / num(limit.amount) : 0);
const amount = (limit, value) => (limit.metric === "METRIC_COST_USD" ? micro(value) : count(Math.round(value)));

function Used({ use }) {
  const part = share(use);
  return html`
    <span class="used">
      <span class=${`meter ${part >= 1 ? "bad" : part >= 0.8 ? "warn" : ""}`}><span style=${{ width: `${Math.min(100, 100 * part)}%` }}></span></span>
      <span class="sub">${t("budgets.of", { taken: amount(use.limit, num(use.taken)), amount: amount(use.limit, num(use.limit.amount)), share: percent(part) })}</span>
    </span>
  `;
}

/** The forecast for the end of the window, at the current rate. */
function Forecast({ use }) {
  const part = passed(use.limit);
  if (part < 0.02) return html`<span class="muted">–</span>`;
  const expected = num(use.taken) / part;
  const over = expected > num(use.limit.amount);
  return html`<${Badge} tone=${over ? "bad" : "ok"}>${amount(use.limit, expected)}<//>`;
}
