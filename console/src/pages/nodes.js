// Nodes: own machines, their offers and use, and how to add another one.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { ago, bytes, count, duration, micro, nano, num } from "../format.js";
import { reason, t } from "../i18n.js";
import { isAtLeast } from "../session.js";
import { useView } from "../view.js";
import { Code } from "../ui/code.js";
import { Button, Tabs } from "../ui/controls.js";
import { confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, announceChange } from "../ui/feedback.js";
import { Page } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { InviteDialog } from "../forms/invite.js";

const EVERY = 5;
const TONES = { online: "ok", "owner-only": "ok", pending: "warn", draining: "warn", drained: "plain", closed: "plain", unhealthy: "bad", offline: "bad", refused: "bad" };
/** The value of kv_cache_permille for unknown use. */
const UNKNOWN = 1001;

export default function Nodes() {
  const view = useView("GetNodesView", {}, { every: EVERY });
  const [tab, setTab] = useState("machines");
  const [inviting, setInviting] = useState(false);
  const invite = isAtLeast("ROLE_MEMBER") && html`
    <${Button} kind="primary" icon="plus" disabled=${!view.data?.nodes_invited} onClick=${() => setInviting(true)}>${t("nodes.invite")}<//>
  `;
  return html`
    <${Page} title=${t("nav.nodes")} lead=${t("nodes.lead")} actions=${invite}>
      <${Loaded} view=${view}>
        ${(data) => html`
          <${Tabs} label=${t("nav.nodes")} value=${tab} onValue=${setTab} tabs=${[["machines", t("nodes.machines")], ["contributions", t("nodes.contributions")]]}>
            ${(shown) =>
              shown === "machines"
                ? html`<${Machines} data=${data} invite=${invite} reload=${view.reload} />`
                : html`<${Contributions} rows=${data.contributions ?? []} />`}
          <//>
        `}
      <//>
      ${inviting && html`<${InviteDialog} organisations=${view.data?.organisations ?? []} onClose=${() => setInviting(false)} />`}
    <//>
  `;
}

function Machines({ data, invite, reload }) {
  const columns = [
    {
      id: "name",
      title: t("node.name"),
      main: true,
      sort: (each) => each.name,
      cell: (each) => html`${each.name}<span class="sub">${each.organisation}${each.owner_key && `/${each.owner_key}`} · ${t(`visibility.${each.visibility ?? "VISIBILITY_ORGANISATION"}`)}</span>`,
    },
    { id: "state", title: t("key.state"), sort: (each) => each.state, cell: (each) => html`<${State} node=${each} />` },
    { id: "offers", title: t("node.offers_prices"), cell: (each) => html`<${Offers} offers=${each.offers ?? []} />` },
    { id: "load", title: t("node.load"), cell: (each) => html`<${Load} load=${each.load ?? {}} />` },
    { id: "machine", title: t("node.machine"), cell: (each) => html`<${Facts} facts=${each.facts ?? {}} />` },
    { id: "actions", title: "", cell: (each) => html`<${Actions} node=${each} reload=${reload} />` },
  ];
  const empty = html`
    <${Empty} icon="nodes" title=${t("nodes.empty")} action=${data.nodes_invited && invite}>
      <p>${data.nodes_invited ? t("nodes.empty_text") : t("nodes.no_listener")}</p>
      ${!data.nodes_invited && html`<${Code} text="trunkline up --tunnel-listen 0.0.0.0:8443" />`}
    <//>
  `;
  return html`<${Table} label=${t("nodes.machines")} columns=${columns} rows=${data.nodes ?? []} rowKey=${(each) => each.id} empty=${empty} initial="name"
    search=${(each) => `${each.name} ${each.organisation} ${(each.offers ?? []).map((offer) => offer.model).join(" ")}`} />`;
}

const State = ({ node }) => html`
  <span>
    <${Badge} tone=${TONES[node.state] ?? "plain"}>${t(`node.state.${node.state ?? "offline"}`)}<//>
    ${node.state_reason && html`<span class="sub">${reason(node.state_reason_code, node.state_reason)}</span>`}
    ${num(node.last_seen) > 0 && node.state !== "online" && html`<span class="sub">${t("node.seen", { when: ago(num(node.last_seen)) })}</span>`}
  </span>
`;

/** What an offer costs, and how much fits. */
const offered = (offer) =>
  [
    num(offer.input_price) || num(offer.output_price) ? `${micro(offer.input_price)} / ${micro(offer.output_price)}` : t("node.free"),
    offer.context_length ? t("node.context", { n: count(offer.context_length) }) : "",
    offer.healthy ? "" : t("node.state.unhealthy"),
  ]
    .filter(Boolean)
    .join(" · ");

const Offers = ({ offers }) =>
  offers.length
    ? html`<span class="used">${offers.map(
        (each) => html`<span><${Badge} tone=${each.healthy ? "plain" : "bad"}>${each.model}<//><span class="sub">${offered(each)}</span></span>`,
      )}</span>`
    : html`<span class="muted">–</span>`;

function Load({ load }) {
  const parts = [
    load.concurrency_limit ? t("node.busy", { n: num(load.in_flight), limit: load.concurrency_limit }) : t("node.running", { n: num(load.in_flight) }),
    num(load.queued) ? t("node.queued", { n: load.queued }) : "",
    num(load.kv_cache_permille) < UNKNOWN && num(load.kv_cache_permille) > 0 ? t("node.kv", { n: Math.round(load.kv_cache_permille / 10) }) : "",
    load.idle?.state ? t(`node.idle.${load.idle.state}`) : "",
  ];
  return html`<span>${parts.filter(Boolean).join(" · ")}</span>`;
}

const Facts = ({ facts }) => html`
  <span>
    ${(facts.gpus ?? []).map((each) => html`<span class="sub">${each.name} ${bytes(each.memory_bytes)}</span>`)}
    ${num(facts.memory_bytes) > 0 && html`<span class="sub">${t("node.facts", { cpus: facts.cpus ?? 0, memory: bytes(facts.memory_bytes) })}</span>`}
    ${facts.schedule && html`<span class="sub">${t("node.schedule", { hours: facts.schedule })}</span>`}
    ${facts.sidecar_version && html`<span class="sub">${facts.operating_system} · ${facts.sidecar_version}</span>`}
  </span>
`;

function Actions({ node, reload }) {
  if (!isAtLeast("ROLE_MEMBER", node.organisation)) return null;
  const update = async (changes, said) => {
    const answer = await call("UpdateNode", { node_id: node.id, version: node.version, ...changes });
    announceChange(said, answer.propagation);
    await reload();
  };
  const remove = () =>
    confirm({
      title: t("node.remove_title", { name: node.name }),
      text: t("node.remove_text"),
      action: t("form.remove"),
      work: async () => {
        const answer = await call("RemoveNode", { node_id: node.id, version: node.version });
        announceChange(t("node.removed", { name: node.name }), answer.propagation);
        await reload();
      },
    });
  const drain = () =>
    confirm({
      title: t("node.drain_title", { name: node.name }),
      text: t("node.drain_text"),
      action: t("node.drain"),
      danger: false,
      work: () => update({ drained: true }, t("node.drained_now", { name: node.name })),
    });
  const named = (text) => ({ "aria-label": `${text}: ${node.name}` });
  return html`
    <div class="row">
      ${!node.approved &&
      isAtLeast("ROLE_OPERATOR", node.organisation) &&
      html`<button type="button" class="button small" ...${named(t("node.approve"))} onClick=${() => update({ approved: true }, t("node.approved", { name: node.name }))}>${t("node.approve")}</button>`}
      ${node.drained
        ? html`<button type="button" class="button quiet small" ...${named(t("node.resume"))} onClick=${() => update({ drained: false }, t("node.resumed", { name: node.name }))}>${t("node.resume")}</button>`
        : html`<button type="button" class="button quiet small" ...${named(t("node.drain"))} onClick=${drain}>${t("node.drain")}</button>`}
      <button type="button" class="button danger small" ...${named(t("form.remove"))} onClick=${remove}>${t("form.remove")}</button>
    </div>
  `;
}

/** The largest contributors of the last thirty days. */
function Contributions({ rows }) {
  const columns = [
    { id: "node", title: t("node.name"), main: true, cell: (each) => html`${each.node_name || each.node_id}<span class="sub">${each.owner}</span>` },
    { id: "requests", title: t("usage.requests"), number: true, sort: (each) => num(each.requests), cell: (each) => count(each.requests) },
    { id: "tokens", title: t("usage.tokens"), number: true, sort: (each) => num(each.prompt_tokens) + num(each.completion_tokens), cell: (each) => count(num(each.prompt_tokens) + num(each.completion_tokens)) },
    { id: "earned", title: t("node.earned"), number: true, sort: (each) => num(each.earned_nano_usd), cell: (each) => nano(each.earned_nano_usd) },
    { id: "uptime", title: t("node.uptime"), number: true, sort: (each) => num(each.uptime_seconds), cell: (each) => duration(num(each.uptime_seconds) * 1000) },
  ];
  const empty = html`<${Empty} icon="nodes" title=${t("nodes.no_contributions")}><p>${t("nodes.no_contributions_text")}</p><//>`;
  return html`<${Table} label=${t("nodes.contributions")} columns=${columns} rows=${rows} rowKey=${(each) => each.node_id} empty=${empty} initial="-tokens" />`;
}
