// One route: a picture of where its requests go now and why, and its options.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { fieldText } from "../forms/other.js";
import { count, duration, num, percent } from "../format.js";
import { t } from "../i18n.js";
import { Limits } from "../limits.js";
import { address, go } from "../router.js";
import { isAdmin } from "../session.js";
import { Code } from "../ui/code.js";
import { Button } from "../ui/controls.js";
import { confirm } from "../ui/dialog.js";
import { Empty, Loaded, Notice, announceChange } from "../ui/feedback.js";
import { Card, Page, isFiles } from "../ui/page.js";
import { OTHERS, RouteDialog } from "./form.js";
import { Tiers } from "./targets.js";
import { aboutStrategy, affinityText, privacyText, promptKeyText, scopeText, strategyText } from "./texts.js";

export function RoutePage({ view, model, organisation }) {
  const [editing, setEditing] = useState(false);
  const explained = (view.data?.routes ?? []).find((each) => each.route.model === model && (each.route.organisation ?? "") === organisation);
  const route = explained?.route;
  const isOpen = route && isAdmin.value && !isFiles(route.managed_by);
  const actions = isOpen && html`
    <${Button} kind="danger" onClick=${() => remove(route, view.reload)}>${t("form.remove")}<//>
    <${Button} kind="primary" onClick=${() => setEditing(true)}>${t("route.change")}<//>
  `;
  return html`
    <p><a href=${address(["models"])}>${t("nav.models")}</a></p>
    <${Page} title=${model} lead=${organisation ? t("models.only", { organisation }) : t("route.everybody")} actions=${actions}>
      <${Loaded} view=${view}>
        ${(data) =>
          explained
            ? html`<${Shown} explained=${explained} rests=${data.rests ?? []} />`
            : html`<${Empty} icon="models" title=${t("route.gone")} action=${html`<a class="button" href=${address(["models"])}>${t("nav.models")}</a>`} />`}
      <//>
      ${editing && html`<${RouteDialog} data=${view.data} route=${route} onClose=${() => setEditing(false)} onDone=${view.reload} />`}
    <//>
  `;
}

function Shown({ explained, rests }) {
  const { route } = explained;
  return html`
    ${isFiles(route.managed_by) &&
    html`
      <${Notice} tone="info">
        ${t("managed.notice", { name: route.managed_by.slice(5) })}
        <${Code} text=${`trunkline apply -f ${route.managed_by.slice(5)}.yaml`} />
      <//>
    `}
    <${Card} title=${t("route.picture")}>
      <p class="muted">${aboutStrategy(route.strategy)}</p>
      <${Tiers} explained=${explained} rests=${rests} />
      <p class="muted after">${typical(explained)}</p>
    <//>
    <${Card} title=${t("route.options")}><${Options} route=${route} /><//>
  `;
}

const typical = (explained) =>
  num(explained.prompt_tokens)
    ? t("route.typical", {
        prompt: count(explained.prompt_tokens),
        completion: count(explained.completion_tokens),
        streams: percent(num(explained.stream_permille) / 1000),
      })
    : t("route.not_measured");

const otherText = (value) => (value === true ? t("route.on") : typeof value === "number" ? count(value) : value);

function Options({ route }) {
  const { timeouts = {} } = route;
  const rows = [
    ["strategy", strategyText(route.strategy)],
    ...(route.strategy === "STRATEGY_BALANCED" ? [["balance", percent((route.balance || 50) / 100)]] : []),
    ["privacy", privacyText(route.privacy)],
    ["affinity", affinityText(route.affinity)],
    ["first_byte", timeouts.first_byte_ms ? duration(timeouts.first_byte_ms) : t("route.default")],
    ["idle", timeouts.idle_ms ? duration(timeouts.idle_ms) : t("route.default")],
    ["connect", timeouts.connect_ms ? duration(timeouts.connect_ms) : t("route.default")],
    ["cache", route.cache_ttl_seconds ? duration(route.cache_ttl_seconds * 1000) : t("route.off")],
    ...(route.cache_ttl_seconds ? [["cache_scope", scopeText(route.cache_scope ?? "CACHE_SCOPE_ORGANISATION")]] : []),
    ...(num(route.cache_most_bytes) ? [["cache_most", count(num(route.cache_most_bytes) / 1024 / 1024)]] : []),
    ["prompt_cache", promptKeyText(route.prompt_cache_key ?? "PROMPT_CACHE_KEY_NONE")],
    ["queue", route.queue_longest_ms ? duration(route.queue_longest_ms) : t("route.off")],
  ];
  const others = OTHERS.filter((name) => route[name]).map((name) => [fieldText(name), otherText(route[name])]);
  return html`
    <dl class="options">
      ${[...rows.map(([id, value]) => [t(`route.${id}`), value]), ...others].map(([label, value]) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}
      <div><dt>${t("limits.title")}</dt><dd><${Limits} limits=${route.limits} /></dd></div>
    </dl>
  `;
}

function remove(route, reload) {
  confirm({
    title: t("route.remove_title", { model: route.model }),
    text: t("route.remove_text"),
    action: t("form.remove"),
    work: async () => {
      const answer = await call("DeleteRoute", { model: route.model, organisation: route.organisation, version: route.version });
      announceChange(t("route.removed", { model: route.model }), answer.propagation);
      go(["models"]);
      await reload();
    },
  });
}
