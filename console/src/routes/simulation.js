// The effect that a proposed route would have had on the requests of the last day.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { count, duration, nano, num, percent } from "../format.js";
import { reason, t } from "../i18n.js";
import { Button } from "../ui/controls.js";
import { Failure } from "../ui/feedback.js";
import { Table } from "../ui/table.js";

/** @param {{route: any}} props */
export function Simulation({ route }) {
  const [found, setFound] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      const answer = await call("SimulateRoutes", { document: { routes: [route] }, organisation: route.organisation });
      setFound(answer.routes?.[0] ?? {});
      setError(null);
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`
    <div><${Button} busy=${busy} onClick=${run}>${t("simulation.title")}<//></div>
    ${error && html`<${Failure} error=${error} />`}
    ${found && (num(found.requests) ? html`<${Outcomes} found=${found} />` : html`<p class="muted">${t("simulation.none")}</p>`)}
  `;
}

const time = (us) => (num(us) ? duration(num(us) / 1000) : "–");
/** @type {[string, (outcome: any) => string][]} */
const FIGURES = [
  ["cost", (each) => nano(each.cost_nano_usd)],
  ["p50", (each) => time(each.first_byte_p50_us)],
  ["p95", (each) => time(each.first_byte_p95_us)],
  ["duration", (each) => time(each.duration_us)],
];

function Outcomes({ found }) {
  const shares = (found.targets ?? []).map((each) => [
    each.target_id,
    percent(num(each.now?.share_permille) / 1000),
    percent(num(each.proposed?.share_permille) / 1000),
  ]);
  const figures = FIGURES.map(([id, show]) => [t(`simulation.${id}`), show(found.now ?? {}), show(found.proposed ?? {})]);
  const columns = [
    { id: "what", title: t("health.what"), main: true, cell: (row) => row[0] },
    { id: "now", title: t("simulation.now"), number: true, cell: (row) => row[1] },
    { id: "proposed", title: t("simulation.proposed"), number: true, cell: (row) => row[2] },
  ];
  return html`
    <p class="muted">${t("simulation.requests", { requests: count(found.requests) })}</p>
    <${Table} label=${t("simulation.title")} columns=${columns} rows=${[...figures, ...shares]} rowKey=${(row) => row[0]} />
    ${(found.notes ?? []).map((each, index) => html`<p class="hint">${reason(found.note_codes?.[index], each)}</p>`)}
  `;
}
