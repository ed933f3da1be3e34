// Usage and cost by any two dimensions, compared with the previous period.
import { html, useMemo, useRef } from "../html.js";
import { count, day, duration, micro, moment, nano, num, percent, short } from "../format.js";
import { t } from "../i18n.js";
import { address, oneOf, place, refine } from "../router.js";
import { isAdmin } from "../session.js";
import { useView } from "../view.js";
import { csv, download } from "../csv.js";
import { Button, Segmented, SelectField, TextField } from "../ui/controls.js";
import { Empty, Loaded, Notice } from "../ui/feedback.js";
import { Card, Figure, Page } from "../ui/page.js";
import { Chart } from "../ui/chart.js";
import { Table } from "../ui/table.js";

/** Days. */
const PERIODS = ["1", "7", "30", "90", "365"];
const DIMENSIONS = ["MODEL", "KEY", "ORGANISATION", "PROVIDER", "TARGET", "ROUTE", "TAG"].map((each) => `DIMENSION_${each}`);
const HOUR = 3_600;
const DAY = 86_400;

/** The beginning of the hour `days` ago, so that a view sends identical requests for an hour. */
const since = (days) => String(Math.floor(Date.now() / 1000 / HOUR) * HOUR - days * DAY);

export default function Usage() {
  const { model = "", organisation = "", tag = "", ...query } = place.value.query;
  const days = oneOf(query.days ?? "7", PERIODS);
  const by = oneOf(query.by, DIMENSIONS);
  const and = oneOf(query.and, ["", ...DIMENSIONS]);
  const view = useUsage({ since: since(Number(days)), model, organisation, tag },
    /** @type {any[]} */ ([by, and].filter((each, index) => each && (!index || each !== by))));
  const dimensions = DIMENSIONS.map((each) => [each, t(`dimension.${each}`)]);
  return html`
    <${Page} title=${t("nav.usage")} lead=${t("usage.lead")}
      actions=${html`
        ${isAdmin.value && html`<a class="button" href=${address(["keys"], { tab: "budgets" })}>${t("budgets.title")}</a>`}
        ${view.data && html`<${Button} icon="download" onClick=${() => save(view.data, view.by)}>CSV<//>`}
      `}>
      <div class="filters">
        <${Segmented} label=${t("usage.period")} value=${days} onValue=${(next) => refine({ days: next })}
          options=${PERIODS.map((each) => [each, t(`period.${each}`)])} />
        <${SelectField} label=${t("usage.by")} value=${by} onValue=${(next) => refine({ by: next })} options=${dimensions} />
        <${SelectField} label=${t("usage.and")} value=${and} onValue=${(next) => refine({ and: next })} options=${[["", "–"], ...dimensions.filter(([each]) => each !== by)]} />
        <${Filter} name="model" value=${model} />
        ${isAdmin.value && html`<${Filter} name="organisation" value=${organisation} />`}
        <${Filter} name="tag" value=${tag} />
      </div>
      <${Loaded} view=${view} lines=${10}>
        ${(data) => (num(data.total?.requests) || num(data.total_before?.requests) ? html`<${Shown} data=${data} by=${view.by} />` : html`<${Nothing} />`)}
      <//>
    <//>
  `;
}

/**
 * The view of usage. If only the dimensions change, only the rows are requested, and the rest stays.
 * @param {{since: string, model: string, organisation: string, tag: string}} filter @param {any[]} by
 */
function useUsage(filter, by) {
  const kept = useRef({ filter: "", data: /** @type {any} */ (null) });
  const asked = JSON.stringify(filter);
  const request = useMemo(() => {
    const { filter: former, data } = kept.current;
    return former === asked ? { filter: { ...filter, until: data.until }, by, rows_only: true } : { filter, by };
  }, [asked, ...by, by.length]);
  const view = useView("GetUsageView", request);
  if (!view.data) return { ...view, by };
  const answered = JSON.parse(view.answered);
  if (!answered.rows_only) kept.current = { filter: JSON.stringify(answered.filter), data: view.data };
  return { ...view, data: answered.rows_only ? { ...kept.current.data, rows: [], rows_before: [], groups: 0, ...view.data } : view.data, by: answered.by };
}

const Filter = ({ name, value }) => html`
  <${TextField} label=${t(`usage.filter.${name}`)} value=${value} placeholder=${t("usage.all")} type="search"
    onValue=${() => {}} onChange=${(event) => refine({ [name]: event.currentTarget.value.trim() })} />
`;

const Nothing = () => html`
  <${Empty} icon="usage" title=${t("usage.empty")} action=${html`<a class="button" href=${address(["playground"])}>${t("nav.playground")}</a>`}>
    <p>${t("usage.empty_text")}</p>
  <//>
`;

function Shown({ data, by }) {
  return html`
    ${num(data.refused_records) > 0 && html`<${Notice} tone="warn">${t("usage.refused", { n: num(data.refused_records) })}<//>`}
    <${Card}>
      <${Totals} now=${data.total ?? {}} before=${data.total_before ?? {}} />
      <${Times} data=${data} />
    <//>
    <${Card} title=${t("usage.groups")}><${Groups} data=${data} by=${by} /><//>
    <${Card} title=${t("usage.targets")}><${Targets} targets=${data.targets ?? []} /><//>
    <${Card} title=${t("usage.heaviest")}>
      <${Heaviest} records=${data.heaviest ?? []} />
      ${num(data.heaviest_since) > 0 && html`<p class="hint after">${t("usage.heaviest_since", { when: day(num(data.heaviest_since) * 1000) })}</p>`}
    <//>
  `;
}

const tokens = (row) => num(row.prompt_tokens) + num(row.completion_tokens);

function Totals({ now, before }) {
  /** @type {[string, number, number, (value: number) => string][]} */
  const figures = [
    ["cost", num(now.cost_nano_usd), num(before.cost_nano_usd), nano],
    ["requests", num(now.requests), num(before.requests), short],
    ["tokens", tokens(now), tokens(before), short],
    ["errors", num(now.errors), num(before.errors), short],
    ["saved", num(now.saved_nano_usd), num(before.saved_nano_usd), nano],
  ];
  return html`
    <dl class="figures">
      ${figures.map(([id, value, former, format]) => html`<${Figure} label=${t(`usage.${id}`)} value=${format(value)} note=${beside(value, former)} />`)}
    </dl>
  `;
}

/** The change from the previous period. */
function beside(value, former) {
  if (!former) return t("usage.no_before");
  const change = (value - former) / former;
  return t("usage.change", { change: `${change > 0 ? "+" : ""}${percent(change)}` });
}

function Times({ data }) {
  const step = (data.times?.[0] ?? data.times_before?.[0])?.values?.[0]?.includes("T") ? HOUR : DAY;
  const begin = Math.floor(num(data.since) / step) * step;
  const end = num(data.until);
  const length = num(data.until) - num(data.since);
  const read = (rows, shift) => new Map((rows ?? []).map((row) => [Date.parse(row.values[0]) / 1000 + shift, num(row.cost_nano_usd) / 1e9]));
  const [now, before] = [read(data.times, 0), read(data.times_before, Math.round(length / step) * step)];
  const times = [];
  for (let at = begin; at < end; at += step) times.push(at);
  const series = [
    { name: t("usage.now"), values: times.map((at) => now.get(at) ?? 0) },
    { name: t("usage.before"), values: times.map((at) => before.get(at) ?? 0) },
  ];
  return html`<${Chart} label=${t("usage.cost")} times=${times} series=${series} format=${(value) => micro(value * 1e6)} />`;
}

function Groups({ data, by }) {
  const before = new Map((data.rows_before ?? []).map((row) => [JSON.stringify(row.values), row]));
  const former = (row) => num(before.get(JSON.stringify(row.values))?.cost_nano_usd);
  const most = Math.max(1, ...(data.rows ?? []).map((row) => num(row.cost_nano_usd)));
  const value = (row, index) => row.values?.[index] || t("usage.without");
  const columns = [
    ...by.map((dimension, index) => ({
      id: dimension,
      title: t(`dimension.${dimension}`),
      main: index === 0,
      sort: (row) => row.values?.[index] ?? "",
      cell: (row) => (index === 0 ? html`${value(row, 0)}<div class="meter"><span style=${{ width: `${(100 * num(row.cost_nano_usd)) / most}%` }}></span></div>` : value(row, index)),
    })),
    { id: "cost", title: t("usage.cost"), number: true, sort: (row) => num(row.cost_nano_usd), cell: (row) => html`<span>${nano(row.cost_nano_usd)}${before.size > 0 && html`<span class="sub">${beside(num(row.cost_nano_usd), former(row))}</span>`}</span>` },
    { id: "requests", title: t("usage.requests"), number: true, sort: (row) => num(row.requests), cell: (row) => count(row.requests) },
    { id: "prompt", title: t("usage.prompt"), number: true, sort: (row) => num(row.prompt_tokens), cell: (row) => count(row.prompt_tokens) },
    { id: "completion", title: t("usage.completion"), number: true, sort: (row) => num(row.completion_tokens), cell: (row) => count(row.completion_tokens) },
    { id: "errors", title: t("usage.errors"), number: true, sort: (row) => num(row.errors), cell: (row) => count(row.errors) },
    { id: "hits", title: t("usage.hits"), number: true, sort: (row) => num(row.cache_hits), cell: (row) => count(row.cache_hits) },
  ];
  return html`
    <${Table} label=${t("usage.groups")} columns=${columns} rows=${data.rows ?? []} rowKey=${(row) => JSON.stringify(row.values)} search=${(row) => (row.values ?? []).join(" ")} initial="-cost" />
    ${num(data.groups) > (data.rows ?? []).length && html`<p class="hint after">${t("usage.more", { n: num(data.groups) })}</p>`}
  `;
}

function Heaviest({ records }) {
  const columns = [
    { id: "when", title: t("usage.when"), main: true, cell: (each) => html`<a href=${address(["requests", each.id])}>${moment(num(each.started_at_us) / 1000)}</a><span class="sub">${each.model}</span>` },
    { id: "tokens", title: t("usage.tokens"), number: true, cell: (each) => count(tokens(each)) },
    { id: "took", title: t("usage.took"), number: true, cell: (each) => duration(num(each.duration_us) / 1000) },
    { id: "cost", title: t("usage.cost"), number: true, cell: (each) => nano(each.cost_nano_usd) },
  ];
  return html`<${Table} label=${t("usage.heaviest")} columns=${columns} rows=${records} rowKey=${(each) => each.id} />`;
}

function Targets({ targets }) {
  const columns = [
    { id: "target", title: t("usage.target"), main: true, cell: (each) => html`${each.target_id}<span class="sub">${t("keys.requests30", { n: num(each.requests), requests: count(each.requests) })}</span>` },
    { id: "price", title: t("usage.per_million"), number: true, sort: (each) => num(each.cost_per_million), cell: (each) => micro(each.cost_per_million) },
    { id: "first", title: t("target.first_byte"), number: true, sort: (each) => num(each.first_byte_p50_us), cell: (each) => html`<span>${duration(num(each.first_byte_p50_us) / 1000)}<span class="sub">p95 ${duration(num(each.first_byte_p95_us) / 1000)}</span></span>` },
    { id: "speed", title: t("target.speed"), number: true, sort: (each) => num(each.millitokens_per_second), cell: (each) => t("unit.tps", { n: count(Math.round(num(each.millitokens_per_second) / 1000)) }) },
    { id: "errors", title: t("usage.errors"), number: true, sort: (each) => num(each.error_permille), cell: (each) => percent(num(each.error_permille) / 1000) },
  ];
  return html`<${Table} label=${t("usage.targets")} columns=${columns} rows=${targets} rowKey=${(each) => each.target_id} />`;
}

function save(data, by) {
  const numbers = ["requests", "errors", "retries", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "cache_hits", "cost_nano_usd", "saved_nano_usd"];
  const head = [...by.map((each) => each.replace("DIMENSION_", "").toLowerCase()), ...numbers];
  const rows = (data.rows ?? []).map((row) => [...(row.values ?? []), ...numbers.map((name) => row[name] ?? "0")]);
  download("usage.csv", csv([head, ...rows]), "text/csv");
}
