// Health: what each client runs and has rejected, and what an operator has to do about it.
import { html } from "../html.js";
import { ago, count, day, duration, moment, num, percent } from "../format.js";
import { reason, t } from "../i18n.js";
import { limitText } from "../limits.js";
import { useView } from "../view.js";
import { Badge, Empty, Loaded, Notice } from "../ui/feedback.js";
import { Card, Figure, Page } from "../ui/page.js";
import { Table } from "../ui/table.js";

const EVERY = 5;
/** Records usually arrive within seconds of a request's end. */
const LATE_MS = 60_000;

export default function Health() {
  const view = useView("GetStatus", {}, { every: EVERY });
  return html`
    <${Page} title=${t("nav.health")} lead=${t("health.lead")}>
      <${Loaded} view=${view}>${(status) => html`<${Shown} status=${status} />`}<//>
    <//>
  `;
}

function Shown({ status }) {
  const clients = status.clients ?? [];
  const rejections = status.recent_rejections ?? [];
  const peers = status.refused_peers ?? [];
  const { certificate, rests = [], alerts = [], ledger = [], tasks = [] } = status;
  const connected = (kind) => clients.filter((each) => each.kind === kind && each.connected).length;
  const isWell = !status.problems?.length && !clients.some((each) => isRefusing(each) || each.problem) && connected("envoy") > 0;
  return html`
    ${status.problems?.map((each, index) => html`<${Notice} tone="bad" title=${t("health.problem")}>${reason(status.problem_codes?.[index], each)}<//>`)}
    ${isWell && html`<${Notice} tone="ok">${t("health.well")}<//>`}
    <${Card} class="after">
      <dl class="figures">
        <${Figure} label=${t("health.envoys")} value=${count(connected("envoy"))} />
        <${Figure} label=${t("health.translators")} value=${count(connected("translator"))} />
        <${Figure} label=${t("health.revision")} value=${count(status.revision)} />
        <${Figure} label=${t("health.refused_records")} value=${count(status.refused_records)} />
        ${certificate && html`<${Figure} label=${t("health.certificate")} value=${day(num(certificate.expires_at) * 1000)} note=${reason(certificate.problem_code, certificate.problem) || certificate.names?.join(", ")} />`}
      </dl>
    <//>
    ${tasks.length > 0 && html`<${Card} title=${t("health.tasks")}><${Tasks} tasks=${tasks} /><//>`}
    <${Card} title=${t("health.clients")}><${Clients} clients=${clients} revision=${num(status.revision)} /><//>
    ${ledger.length > 0 && html`<${Card} title=${t("health.ledger")}><${Ledger} sources=${ledger} /><//>`}
    ${rests.length > 0 && html`<${Card} title=${t("health.rests")}><${Rests} rests=${rests} /><//>`}
    ${alerts.length > 0 && html`<${Card} title=${t("health.alerts")}><${Alerts} alerts=${alerts} /><//>`}
    ${rejections.length > 0 && html`<${Card} title=${t("health.rejections")}><${Rejections} rejections=${rejections} /><//>`}
    ${peers.length > 0 && html`<${Card} title=${t("health.peers")}><${Peers} peers=${peers} /><//>`}
  `;
}

const isRefusing = (client) => (client.types ?? []).some((each) => each.rejection);
const short = (type) => (type ?? "").split(".").at(-1);
const lag = (client, revision) => Math.max(0, ...(client.types ?? []).filter((each) => each.pending).map((each) => revision - num(each.accepted_revision)));
const slowest = (client) => Math.max(0, ...(client.types ?? []).map((each) => num(each.last_ack_ms)));
const sum = (client, field) => (client.types ?? []).reduce((total, each) => total + num(each[field]), 0);

function Clients({ clients, revision }) {
  const columns = [
    { id: "client", title: t("health.client"), main: true, sort: (each) => each.client_id, cell: (each) => html`${each.client_id}<span class="sub">${each.kind} · ${each.software}</span>` },
    { id: "state", title: t("key.state"), cell: (each) => html`<${ClientState} client=${each} />` },
    { id: "since", title: t("health.since"), sort: (each) => num(each.since), cell: (each) => html`<span title=${moment(num(each.since) * 1000)}>${ago(num(each.since))}</span>` },
    { id: "lag", title: t("health.lag"), number: true, cell: (each) => count(lag(each, revision)) },
    { id: "ack", title: t("health.ack"), number: true, cell: (each) => t("unit.ms", { n: slowest(each) }) },
    { id: "acks", title: t("health.acks"), number: true, cell: (each) => `${count(sum(each, "acks"))} / ${count(sum(each, "nacks"))}` },
  ];
  const empty = html`<${Empty} icon="health" title=${t("health.nobody")}><p>${t("health.nobody_text")}</p><//>`;
  return html`<${Table} label=${t("health.clients")} columns=${columns} rows=${clients} rowKey=${(each) => `${each.client_id} ${each.peer}`} empty=${empty} initial="client" />`;
}

function ClientState({ client }) {
  const refusal = (client.types ?? []).find((each) => each.rejection);
  if (!client.connected) return html`<${Badge} tone="bad">${t("health.gone")}<//>`;
  if (refusal) return html`<span><${Badge} tone="bad">${t("health.refuses", { what: short(refusal.type_url) })}<//><span class="sub">${refusal.rejection.reason}</span></span>`;
  if (client.problem) return html`<span><${Badge} tone="warn">${t("health.trouble")}<//><span class="sub">${reason(client.problem_code, client.problem)}</span></span>`;
  return html`<${Badge} tone="ok">${t("health.connected")}<//>`;
}

/** Long work of the control plane, for example after an upgrade. */
const Tasks = ({ tasks }) => html`
  <ul class="plain-list">
    ${tasks.map((each) => {
      const part = num(each.total) ? num(each.done) / num(each.total) : 0;
      return html`
        <li class="used">
          <span>${reason(each.description_code, each.description)}</span>
          <span class="meter"><span style=${{ width: `${Math.min(100, 100 * part)}%` }}></span></span>
          <span class="sub">${t("health.progress", { done: count(each.done), total: count(each.total), share: percent(part) })}</span>
        </li>
      `;
    })}
  </ul>
`;

/** How usage records arrive. */
function Ledger({ sources }) {
  const columns = [
    { id: "source", title: t("health.translators"), main: true, sort: (each) => each.source, cell: (each) => each.source },
    { id: "last", title: t("health.last_records"), sort: (each) => num(each.last_at), cell: (each) => html`<span title=${moment(num(each.last_at) * 1000)}>${ago(num(each.last_at))}</span>` },
    { id: "lag", title: t("health.ledger_lag"), number: true, sort: (each) => num(each.lag_ms), cell: (each) => html`<${Badge} tone=${num(each.lag_ms) > LATE_MS ? "warn" : "ok"}>${duration(num(each.lag_ms))}<//>` },
  ];
  return html`<${Table} label=${t("health.ledger")} columns=${columns} rows=${sources} rowKey=${(each) => each.source} initial="source" />`;
}

/** Targets and credentials that rest at the moment. */
function Rests({ rests }) {
  const columns = [
    { id: "what", title: t("health.what"), main: true, cell: (each) => html`${each.subject}<span class="sub">${t(`health.rest.${each.kind}`)}</span>` },
    { id: "reason", title: t("health.reason"), cell: (each) => html`<span class="broken-words">${reason(each.reason_code, each.reason)}</span>` },
    { id: "since", title: t("health.since"), cell: (each) => ago(num(each.since)) },
    { id: "until", title: t("health.until"), cell: (each) => (num(each.until) ? ago(num(each.until)) : t("health.unknown")) },
    { id: "where", title: t("health.client"), cell: (each) => each.translator },
  ];
  return html`<${Table} label=${t("health.rests")} columns=${columns} rows=${rests} rowKey=${(each) => `${each.subject} ${each.translator} ${each.kind}`} />`;
}

/** Limits that have reached a share of their amount. */
function Alerts({ alerts }) {
  const columns = [
    { id: "holder", title: t("budgets.holder"), main: true, cell: (each) => html`${each.holder}<span class="sub">${limitText(each.alert.limit)}</span>` },
    { id: "share", title: t("budgets.used"), number: true, cell: ({ alert }) => html`<${Badge} tone=${alert.refused ? "bad" : "warn"}>${percent(num(alert.share_permille) / 1000)}<//>` },
    { id: "when", title: t("usage.when"), cell: ({ alert }) => moment(num(alert.reached_at) * 1000) },
    { id: "delivery", title: t("health.delivery"), cell: (each) => html`<span>${t(`health.delivery.${each.delivery ?? "ALERT_DELIVERY_NONE"}`)}<span class="sub">${each.error ?? ""}</span></span>` },
  ];
  return html`<${Table} label=${t("health.alerts")} columns=${columns} rows=${alerts} rowKey=${(each) => `${each.holder} ${each.alert.reached_at} ${each.alert.share_permille} ${each.alert.value ?? ""}`} />`;
}

function Rejections({ rejections }) {
  const columns = [
    { id: "when", title: t("usage.when"), main: true, cell: (each) => moment(num(each.at) * 1000) },
    { id: "client", title: t("health.client"), cell: (each) => each.client_id },
    { id: "what", title: t("health.what"), cell: (each) => html`<span>${short(each.type_url)}<span class="sub">${(each.resource_names ?? []).join(", ")}</span></span>` },
    { id: "reason", title: t("health.reason"), cell: (each) => html`<span class="broken-words">${each.reason}</span>` },
  ];
  return html`<${Table} label=${t("health.rejections")} columns=${columns} rows=${rejections} rowKey=${(each) => `${each.at} ${each.client_id} ${each.type_url}`} />`;
}

function Peers({ peers }) {
  const columns = [
    { id: "peer", title: t("health.peer"), main: true, cell: (each) => each.peer },
    { id: "reason", title: t("health.reason"), cell: (each) => each.reason },
    { id: "count", title: t("health.count"), number: true, cell: (each) => count(each.count) },
    { id: "when", title: t("usage.when"), cell: (each) => ago(num(each.at)) },
  ];
  return html`<${Table} label=${t("health.peers")} columns=${columns} rows=${peers} rowKey=${(each) => each.peer} />`;
}
