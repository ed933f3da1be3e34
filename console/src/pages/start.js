// Start: a checklist of the set-up, and how to configure clients.
import { html, useState } from "../html.js";
import { count, nano, num, short } from "../format.js";
import { baseUrl } from "../gateway.js";
import { reason, rich, t } from "../i18n.js";
import { recipes } from "../recipes.js";
import { address } from "../router.js";
import { isAdmin } from "../session.js";
import { useView } from "../view.js";
import { Code, Copy } from "../ui/code.js";
import { SelectField } from "../ui/controls.js";
import { Loaded, Notice } from "../ui/feedback.js";
import { Icon } from "../ui/icons.js";
import { Card, Figure, Page } from "../ui/page.js";
import { ProviderDialog } from "../forms/provider.js";
import { KeyDialog } from "../forms/key.js";

/** Seconds between updates, so that a step done elsewhere is ticked soon. */
const EVERY = 5;

export default function Start() {
  const view = useView("GetOverview", {}, { every: EVERY });
  return html`
    <${Page} title=${t("start.title")} lead=${t("start.lead")}>
      <${Loaded} view=${view} lines=${10}>
        ${(overview) => html`
          ${overview.problems?.map((each, index) => html`<${Notice} tone="bad" title=${t("health.problem")}>${reason(overview.problem_codes?.[index], each)}<//>`)}
          <div class="grid">
            <${Card} title=${t("start.steps")}><${Checklist} overview=${overview} onDone=${view.reload} /><//>
            <${Lately} overview=${overview} />
          </div>
          <${Recipes} overview=${overview} />
        `}
      <//>
    <//>
  `;
}

function Checklist({ overview, onDone }) {
  const [dialog, setDialog] = useState("");
  const requests = (overview.days ?? []).reduce((sum, each) => sum + num(each.requests), 0);
  const steps = [
    ...(isAdmin.value ? [{ id: "provider", done: num(overview.providers) > 0, open: () => setDialog("provider") }] : []),
    { id: "route", done: Boolean(overview.models?.length), href: address(["models"]) },
    { id: "key", done: num(overview.keys) > 0, open: () => setDialog("key") },
    { id: "request", done: requests > 0, href: address(["playground"]) },
    { id: "node", done: num(overview.nodes) > 0, href: address(["nodes"]), optional: true },
  ];
  return html`
    <ol class="checklist">
      ${steps.map(
        (step, index) => html`
          <li class=${step.done ? "done" : ""}>
            <span class="tick">
              ${step.done ? html`<${Icon} name="check" /><span class="unseen">${t("start.done")}</span>` : index + 1}
            </span>
            <div class="step-text">
              <h3>${t(`start.${step.id}`)}${step.optional && html`<span class="muted"> ${t("form.optional")}</span>`}</h3>
              <p>${t(`start.${step.id}_${step.done ? "done" : "text"}`, facts(overview, requests))}</p>
              ${!step.done && html`<div class="row"><${Action} step=${step} /></div>`}
            </div>
          </li>
        `,
      )}
    </ol>
    ${dialog === "provider" && html`<${ProviderDialog} onClose=${() => setDialog("")} onDone=${onDone} />`}
    ${dialog === "key" && html`<${KeyDialog} models=${overview.models} base=${baseUrl(overview.clients)} onClose=${() => setDialog("")} onDone=${onDone} />`}
  `;
}

const Action = ({ step }) =>
  step.href
    ? html`<a class="button small" href=${step.href}>${t(`start.${step.id}_action`)}</a>`
    : html`<button type="button" class="button small" onClick=${step.open}>${t(`start.${step.id}_action`)}</button>`;

const facts = (overview, requests) => ({
  providers: count(overview.providers),
  credentials: count(overview.credentials),
  models: count(overview.models?.length),
  keys: count(overview.keys),
  nodes: count(overview.nodes),
  online: count(overview.nodes_online),
  requests: count(requests),
});

function Lately({ overview }) {
  const days = overview.days ?? [];
  const sum = (field) => days.reduce((total, each) => total + num(each[field]), 0);
  const base = baseUrl(overview.clients);
  return html`
    <${Card} title=${t("start.lately")}>
      <dl class="figures">
        <${Figure} label=${t("usage.requests")} value=${short(sum("requests"))} />
        <${Figure} label=${t("usage.cost")} value=${nano(sum("cost_nano_usd"))} />
        <${Figure} label=${t("usage.errors")} value=${short(sum("errors"))} />
      </dl>
      <${Days} days=${days} />
      <div class="stack base-url">
        <h3>${t("start.base_url")}</h3>
        <div class="secret plain"><code>${base}</code><${Copy} text=${base} label=${t("copy.of", { what: t("start.base_url") })} /></div>
        <p class="muted">${rich("start.version", { version: html`<span class="mono">${overview.version}</span>` })}</p>
      </div>
    <//>
  `;
}

/** Requests of the last fourteen days; read out as one sentence. */
function Days({ days }) {
  const today = Math.floor(Date.now() / 86_400_000);
  const byDay = new Map(days.map((each) => [each.values?.[0], num(each.requests)]));
  const values = Array.from({ length: 14 }, (_, index) => {
    const name = new Date((today - 13 + index) * 86_400_000).toISOString().slice(0, 10);
    return { name, n: byDay.get(name) ?? 0 };
  });
  const most = Math.max(1, ...values.map((each) => each.n));
  return html`
    <div class="bars" role="img" aria-label=${t("start.days", { n: days.length })}>
      ${values.map(
        ({ name, n }) => html`
          <span class=${n ? "" : "zero"} title=${`${name}: ${count(n)}`} style=${{ height: `${Math.max(4, (100 * n) / most)}%` }}></span>
        `,
      )}
    </div>
  `;
}

function Recipes({ overview }) {
  const models = overview.models ?? [];
  const [model, setModel] = useState("");
  const [client, setClient] = useState("curl");
  const chosen = models.includes(model) ? model : models[0] ?? "gpt-4.1";
  const all = recipes(baseUrl(overview.clients), chosen);
  const recipe = all.find((each) => each.id === client) ?? all[0];
  return html`
    <${Card} title=${t("recipes.title")} class="after">
      <div class="filters">
        <${SelectField} label=${t("recipes.client")} value=${client} onValue=${setClient} options=${all.map((each) => [each.id, each.name])} />
        ${models.length > 0 &&
        html`<${SelectField} label=${t("recipes.model")} value=${chosen} onValue=${setModel} options=${models.map((each) => [each, each])} />`}
      </div>
      <${Code} text=${recipe.text} label=${recipe.name} />
      <p class="hint">${t("recipes.key")}</p>
    <//>
  `;
}
