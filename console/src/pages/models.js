// Models: the catalogue of models that clients can request; each route has its own page.
import { html, useState } from "../html.js";
import { count, duration, num, usd } from "../format.js";
import { t } from "../i18n.js";
import { address, place } from "../router.js";
import { isAdmin } from "../session.js";
import { useView } from "../view.js";
import { Code } from "../ui/code.js";
import { Button } from "../ui/controls.js";
import { Badge, Empty, Loaded } from "../ui/feedback.js";
import { Manager, Page } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { RoutePage } from "../routes/page.js";
import { RouteDialog } from "../routes/form.js";
import { Share, isAbout, targetId } from "../routes/targets.js";
import { strategyText } from "../routes/texts.js";

/** Seconds between updates; weights and health follow measurements. */
const EVERY = 10;

export default function Models() {
  const view = useView("GetModelsView", {}, { every: EVERY });
  const { path, query } = place.value;
  const [adding, setAdding] = useState(false);
  if (path[1]) return html`<${RoutePage} view=${view} model=${path[1]} organisation=${query.org ?? ""} />`;
  const add = isAdmin.value && html`<${Button} kind="primary" icon="plus" disabled=${!view.data} onClick=${() => setAdding(true)}>${t("route.new")}<//>`;
  return html`
    <${Page} title=${t("nav.models")} lead=${t("models.lead")} actions=${add}>
      <${Loaded} view=${view}>${(data) => html`<${Catalogue} data=${data} add=${add} />`}<//>
      ${adding && html`<${RouteDialog} data=${view.data} onClose=${() => setAdding(false)} onDone=${view.reload} />`}
    <//>
  `;
}

function Catalogue({ data, add }) {
  const columns = [
    {
      id: "model",
      title: t("route.model"),
      main: true,
      sort: ({ route }) => route.model,
      cell: ({ route }) => html`
        <a href=${address(["models", route.model], { org: route.organisation ?? "" })}>${route.model}</a> <${Manager} manager=${route.managed_by} />
        ${route.organisation && html`<span class="sub">${t("models.only", { organisation: route.organisation })}</span>`}
      `,
    },
    { id: "strategy", title: t("route.strategy"), sort: ({ route }) => route.strategy ?? "", cell: ({ route }) => strategyText(route.strategy) },
    { id: "targets", title: t("route.targets"), cell: (each) => html`<${Share} explained=${each} />` },
    { id: "price", title: t("models.price"), cell: ({ route }) => html`<${Prices} targets=${route.targets ?? []} />` },
    { id: "context", title: t("route.context"), number: true, sort: ({ route }) => context(route), cell: ({ route }) => (context(route) ? count(context(route)) : "–") },
    { id: "speed", title: t("models.speed"), number: true, cell: (each) => html`<${Speed} targets=${each.targets ?? []} />` },
    { id: "state", title: t("key.state"), cell: (each) => html`<${State} explained=${each} rests=${data.rests ?? []} />` },
  ];
  const empty = html`
    <${Empty} icon="models" title=${t("models.empty")} action=${add}>
      <p>${t("models.empty_text")}</p>
      <${Code} text="trunkline routes set gpt-4.1 --target openai/gpt-4.1" />
    <//>
  `;
  return html`<${Table} label=${t("nav.models")} columns=${columns} rows=${data.routes ?? []} empty=${empty} initial="model"
    rowKey=${({ route }) => route.id} search=${({ route }) => `${route.model} ${route.organisation ?? ""}`} />`;
}

const context = (route) => Math.max(0, ...(route.targets ?? []).map((each) => num(each.context)));

/** The price of the cheapest target, USD per million tokens. */
function Prices({ targets }) {
  const priced = targets.map((each) => each.price).filter((each) => each?.input);
  if (!priced.length) return html`<span class="muted">${t("models.no_price")}</span>`;
  const cheapest = priced.reduce((a, b) => (num(a.input) + num(a.output) <= num(b.input) + num(b.output) ? a : b));
  return html`<span>${usd(num(cheapest.input) / 1e6)} / ${usd(num(cheapest.output) / 1e6)}${priced.length > 1 && html`<span class="sub">${t("models.from")}</span>`}</span>`;
}

function Speed({ targets }) {
  const measured = targets.filter((each) => num(each.first_byte_us));
  if (!measured.length) return html`<span class="muted">–</span>`;
  const first = measured[0];
  const speed = num(first.millitokens_per_second) / 1000;
  return html`<span>${duration(num(first.first_byte_us) / 1000)}${speed > 0 && html`<span class="sub">${t("unit.tps", { n: count(Math.round(speed)) })}</span>`}</span>`;
}

/** The health of a route now: its targets that fail, rest or are paused. */
function State({ explained, rests }) {
  const targets = explained.targets ?? [];
  const paused = new Set((explained.route.targets ?? []).filter((each) => each.paused).map(targetId));
  const down = targets.filter((each) => each.down && !paused.has(each.target_id)).length;
  // A credential that rests (`a/m#2`) leaves the target to the others.
  const resting = targets.filter((each) => !each.down && rests.some((rest) => !rest.subject?.includes("#") && isAbout(rest, each.target_id))).length;
  if (!targets.length) return html`<${Badge} tone="bad">${t("models.no_targets")}<//>`;
  if (down + resting + paused.size >= targets.length) return html`<${Badge} tone="bad">${t(down ? "models.down" : "models.none_serves")}<//>`;
  const parts = [["warn", "models.some_down", down], ["warn", "models.some_rest", resting], ["plain", "models.some_paused", paused.size]].filter(([, , n]) => n);
  if (parts.length) return html`<span class="limits">${parts.map(([tone, key, n]) => html`<${Badge} tone=${tone}>${t(String(key), { n })}<//>`)}</span>`;
  return html`<${Badge} tone="ok">${t("models.well")}<//>`;
}
