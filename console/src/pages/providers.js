// Providers: base URLs, stored credentials, quotas and errors.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { ago, count, nano, num, percent } from "../format.js";
import { reason, t, word } from "../i18n.js";
import { useView } from "../view.js";
import { Code } from "../ui/code.js";
import { Button } from "../ui/controls.js";
import { confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, announceChange } from "../ui/feedback.js";
import { Manager, Page, isFiles } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { ProviderDialog } from "../forms/provider.js";

export default function Providers() {
  const view = useView("GetProvidersView", {}, { every: 30 });
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const add = html`<${Button} kind="primary" icon="plus" onClick=${() => setDialog({})}>${t("provider.new")}<//>`;
  return html`
    <${Page} title=${t("nav.providers")} lead=${t("providers.lead")} actions=${add}>
      <${Loaded} view=${view}>
        ${(data) => html`<${Providing} data=${data} add=${add} onEdit=${(item) => setDialog({ item })} reload=${view.reload} />`}
      <//>
      ${dialog && html`<${ProviderDialog} provider=${dialog.item} onClose=${() => setDialog(null)} onDone=${view.reload} />`}
    <//>
  `;
}

function Providing({ data, add, onEdit, reload }) {
  const usage = new Map((data.usage ?? []).map((row) => [row.values?.[0], row]));
  const used = (name) => usage.get(name) ?? {};
  const models = (name) =>
    (data.routes ?? []).filter((route) => (route.targets ?? []).some((each) => each.provider === name)).map((each) => each.model);
  const columns = [
    {
      id: "name",
      title: t("provider.name"),
      main: true,
      sort: (each) => each.name,
      cell: (each) => html`${each.name} <${Manager} manager=${each.managed_by} /><span class="sub mono">${each.base_url}</span>`,
    },
    { id: "credentials", title: t("providers.credentials"), cell: (each) => html`<${Credentials} item=${each} headroom=${(data.headroom ?? []).filter((one) => one.provider === each.name)} />` },
    { id: "models", title: t("providers.models"), cell: (each) => models(each.name).join(", ") || html`<span class="muted">${t("providers.no_models")}</span>` },
    { id: "requests", title: t("providers.requests"), number: true, sort: (each) => num(used(each.name).requests), cell: (each) => count(used(each.name).requests) },
    { id: "errors", title: t("usage.errors"), number: true, cell: (each) => html`<${Share} part=${used(each.name).errors} whole=${used(each.name).requests} />` },
    { id: "cost", title: t("usage.cost"), number: true, sort: (each) => num(used(each.name).cost_nano_usd), cell: (each) => nano(used(each.name).cost_nano_usd) },
    { id: "actions", title: "", cell: (each) => html`<${Actions} item=${each} onEdit=${onEdit} reload=${reload} />` },
  ];
  const empty = html`
    <${Empty} icon="providers" title=${t("providers.empty")} action=${add}>
      <p>${t("providers.empty_text")}</p>
      <${Code} text="OPENAI_API_KEY=sk-… trunkline up" />
    <//>
  `;
  return html`<${Table} label=${t("nav.providers")} columns=${columns} rows=${data.providers ?? []} rowKey=${(each) => each.name}
    search=${(each) => `${each.name} ${each.base_url}`} empty=${empty} initial="name" />`;
}

const Credentials = ({ item, headroom }) => html`
  <span class="used">
    ${item.credential_count
      ? html`<span><${Badge} tone="ok">${t("providers.stored", { n: item.credential_count })}<//></span>`
      : html`<span><${Badge}>${t("providers.none_stored")}<//></span>`}
    ${headroom.map((each) => html`<${Headroom} left=${each} several=${num(item.credential_count) > 1} />`)}
  </span>
`;

/** The remainder of a quota, or why a credential rests. */
function Headroom({ left, several }) {
  const whose = [several ? t("requests.credential", { n: left.credential }) : "", left.target_id].filter(Boolean).join(" · ");
  const share = num(left.limit) ? num(left.remaining) / num(left.limit) : null;
  return html`
    ${num(left.rests_until) > 0 &&
    html`<span class="sub"><${Badge} tone="warn">${t("providers.rests", { when: ago(num(left.rests_until)) })}<//> ${[whose, reason(left.reason_code, left.reason)].filter(Boolean).join(": ")}</span>`}
    ${share !== null &&
    html`
      <span class=${`meter ${share < 0.05 ? "bad" : share < 0.2 ? "warn" : ""}`}><span style=${{ width: `${100 * share}%` }}></span></span>
      <span class="sub">${t("providers.left", { left: count(left.remaining), limit: count(left.limit), metric: word(`metric.name.METRIC_${(left.metric ?? "").toUpperCase()}`, left.metric ?? "").toLowerCase() })}${[whose, gatewayShare(left)].filter(Boolean).map((each) => ` · ${each}`)}</span>
    `}
  `;
}

/** What one of several gateways may use of a configured quota, and has used. */
function gatewayShare(left) {
  if (left.source !== "quota" || !left.translator || num(left.share) === num(left.limit)) return "";
  return t("providers.share", { used: count(left.used), share: count(left.share), gateway: left.translator });
}

/** A share of errors, highlighted if it is large. */
export function Share({ part, whole }) {
  const share = num(whole) ? num(part) / num(whole) : 0;
  if (!num(part)) return html`<span class="muted">0</span>`;
  return html`<${Badge} tone=${share > 0.05 ? "bad" : "warn"}>${percent(share)}<//>`;
}

function Actions({ item, onEdit, reload }) {
  if (isFiles(item.managed_by)) return null;
  const remove = () =>
    confirm({
      title: t("provider.remove_title", { name: item.name }),
      text: t("provider.remove_text"),
      action: t("form.remove"),
      work: async () => {
        const answer = await call("DeleteProvider", { name: item.name, version: item.version });
        announceChange(t("provider.removed", { name: item.name }), answer.propagation);
        await reload();
      },
    });
  return html`
    <div class="row">
      <button type="button" class="button quiet small" aria-label=${`${t("form.edit")}: ${item.name}`} onClick=${() => onEdit(item)}>${t("form.edit")}</button>
      <button type="button" class="button danger small" aria-label=${`${t("form.remove")}: ${item.name}`} onClick=${remove}>${t("form.remove")}</button>
    </div>
  `;
}
