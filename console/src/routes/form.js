// The form of a route's options. It shows the difference before a change is made.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { OtherFields, otherFields } from "../forms/other.js";
import { num } from "../format.js";
import { MEMBERS } from "../generated/fields.js";
import { t } from "../i18n.js";
import { LimitsEditor, sent } from "../limits.js";
import { Button, Form, IconButton, SelectField, TextField, CheckField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Notice, announceChange } from "../ui/feedback.js";
import { Difference } from "./difference.js";
import * as prices from "./prices.js";
import { Simulation } from "./simulation.js";
import { aboutStrategy, affinityText, privacyText, promptKeyText, scopeText, strategyText } from "./texts.js";

const MIB = 1024 * 1024;

/** The members of an enumeration with their texts. @param {string} kind @param {(member: string) => string} text */
const options = (kind, text) => MEMBERS[kind].map((each) => [each, text(each)]);

const whole = (text) => Math.round(Number(text) || 0);

/** A target in the form's notation; parts of a price that the form does not show are kept. */
const edited = (target) => ({
  stored: target,
  place: target.nodes ? "" : target.provider ?? "",
  model: target.nodes || target.model || "",
  weight: String(target.weight ?? 1),
  tier: String(target.tier ?? 0),
  input: prices.usd(target.price?.input),
  output: prices.usd(target.price?.output),
  prices: prices.begin(target.price),
  context: target.context ? String(target.context) : "",
  paused: target.paused ?? false,
});

function written({ stored, place, model, weight, tier, input, output, context, paused, prices: others }) {
  const { price_history, provider, nodes, model: former, price, ...kept } = stored;
  const { version, ...formerPrice } = price ?? {};
  const isPriced = input !== "" || output !== "" || prices.isGiven(others);
  const asked = isPriced ? { price: { ...formerPrice, input: prices.micro(input), output: prices.micro(output), ...prices.written(others) } } : {};
  const where = place ? { provider: place, model } : { nodes: model };
  return { ...kept, ...where, weight: whole(weight), tier: whole(tier), context: whole(context), paused, ...asked };
}

/** @param {{data: any, route?: import("../generated/types.d.ts").Route, onClose: () => void, onDone: () => any}} props */
export function RouteDialog({ data, route, onClose, onDone }) {
  const [form, setForm] = useState(() => begin(route, data));
  const [changes, setChanges] = useState(/** @type {any} */ (null));
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  const review = async () => setChanges(await difference(document(route, form)));
  const apply = async () => {
    const answer = await call("PutRoute", { route: { ...document(route, form), version: route?.version } });
    announceChange(t("route.saved", { model: form.model }), answer.propagation);
    await onDone();
    onClose();
  };
  const title = route ? t("route.edit", { model: route.model }) : t("route.new");
  if (changes) {
    return html`
      <${Dialog} title=${t("route.review")} onClose=${onClose} wide>
        <${Form} onSend=${apply} action=${t("route.apply")} onCancel=${() => setChanges(null)} disabled=${!changes.length}>
          <${Difference} changes=${changes} />
          ${changes.length > 0 && html`<${Simulation} route=${document(route, form)} />`}
        <//>
      <//>
    `;
  }
  return html`
    <${Dialog} title=${title} onClose=${onClose} wide>
      <${Form} onSend=${review} action=${t("route.review")} onCancel=${onClose} disabled=${!form.model || !form.targets.length}>
        ${!route &&
        html`<div class="form-grid">
          <${TextField} label=${t("route.model")} hint=${t("route.model_hint")} value=${form.model} onValue=${set("model")} name="model" />
          <${SelectField} label=${t("route.for")} value=${form.organisation} onValue=${set("organisation")}
            options=${[["", t("route.everybody")], ...(data.organisations ?? []).map((each) => [each, each])]} />
        </div>`}
        <${Targets} data=${data} targets=${form.targets} onTargets=${set("targets")} />
        <div class="form-grid">
          <${SelectField} label=${t("route.strategy")} hint=${aboutStrategy(form.strategy)} value=${form.strategy} onValue=${set("strategy")} options=${options("Strategy", strategyText)} />
          ${form.strategy === "STRATEGY_BALANCED" && html`<${TextField} label=${t("route.balance")} hint=${t("route.balance_hint")} value=${form.balance} onValue=${set("balance")} inputmode="numeric" />`}
          <${SelectField} label=${t("route.privacy")} value=${form.privacy} onValue=${set("privacy")} options=${options("Privacy", privacyText)} />
          <${SelectField} label=${t("route.affinity")} value=${form.affinity} onValue=${set("affinity")} options=${options("Affinity", affinityText)} />
        </div>
        <details>
          <summary>${t("route.more")}</summary>
          <div class="stack after">
            <div class="form-grid">
              <${Seconds} name="first_byte" form=${form} set=${set} />
              <${Seconds} name="idle" form=${form} set=${set} />
              <${Seconds} name="connect" form=${form} set=${set} />
              <${Seconds} name="cache" form=${form} set=${set} />
              <${SelectField} label=${t("route.cache_scope")} value=${form.scope} onValue=${set("scope")} options=${options("CacheScope", scopeText)} />
              <${TextField} label=${t("route.cache_most")} value=${form.cacheMost} onValue=${set("cacheMost")} inputmode="decimal" placeholder=${t("route.default")} />
              <${Seconds} name="queue" form=${form} set=${set} />
            </div>
            <div class="form-grid">
              <${SelectField} label=${t("route.prompt_cache")} hint=${t("route.prompt_cache_hint")} value=${form.promptKey} onValue=${set("promptKey")} options=${options("PromptCacheKey", promptKeyText)} />
              <${OtherFields} message="Route" names=${OTHERS} values=${form.other} onValues=${set("other")} />
            </div>
            <${LimitsEditor} value=${form.limits} onValue=${set("limits")} ofRoute />
          </div>
        </details>
      <//>
    <//>
  `;
}

const Seconds = ({ name, form, set }) => html`
  <${TextField} label=${`${t(`route.${name}`)}, ${t("unit.seconds")}`} value=${form[name]} onValue=${set(name)} inputmode="decimal"
    placeholder=${t(name === "cache" || name === "queue" ? "route.off" : "route.default")} />
`;

function begin(route, data) {
  const seconds = (ms) => (ms ? String(ms / 1000) : "");
  const first = { provider: data.providers?.[0] ?? "", model: "" };
  return {
    model: route?.model ?? "",
    organisation: route?.organisation ?? "",
    targets: (route?.targets ?? [first]).map(edited),
    strategy: route?.strategy ?? "STRATEGY_WEIGHTED",
    balance: String(route?.balance || 50),
    privacy: route?.privacy ?? "PRIVACY_ANY",
    affinity: route?.affinity ?? "AFFINITY_POOL",
    first_byte: seconds(route?.timeouts?.first_byte_ms),
    idle: seconds(route?.timeouts?.idle_ms),
    connect: seconds(route?.timeouts?.connect_ms),
    cache: route?.cache_ttl_seconds ? String(route.cache_ttl_seconds) : "",
    scope: route?.cache_scope ?? "CACHE_SCOPE_ORGANISATION",
    cacheMost: num(route?.cache_most_bytes) ? String(num(route?.cache_most_bytes) / MIB) : "",
    promptKey: route?.prompt_cache_key ?? MEMBERS.PromptCacheKey[0],
    queue: seconds(route?.queue_longest_ms),
    limits: (route?.limits ?? []).map(sent),
    other: /** @type {Record<string, any>} */ (Object.fromEntries(OTHERS.map((name) => [name, route?.[name]]))),
  };
}

/** The route that the form describes; values that it does not show keep their stored state. */
function document(route, form) {
  const { id, version, managed_by, ...stored } = route ?? {};
  return { ...stored, ...form.other, ...controlled(form, stored.timeouts) };
}

/** The fields with a control of their own. */
function controlled(form, timeouts) {
  const ms = (text) => whole(Number(text) * 1000);
  return {
    model: form.model,
    organisation: form.organisation,
    targets: form.targets.map(written),
    strategy: form.strategy,
    balance: form.strategy === "STRATEGY_BALANCED" ? whole(form.balance) : 0,
    privacy: form.privacy,
    affinity: form.affinity,
    timeouts: { ...timeouts, first_byte_ms: ms(form.first_byte), idle_ms: ms(form.idle), connect_ms: ms(form.connect) },
    cache_ttl_seconds: whole(form.cache),
    cache_scope: form.scope,
    cache_most_bytes: String(whole(Number(form.cacheMost) * MIB)),
    prompt_cache_key: form.promptKey,
    queue_longest_ms: ms(form.queue),
    limits: form.limits,
  };
}

/** The fields without one. */
export const OTHERS = otherFields("Route", controlled({ targets: [] }, {}));

/** The difference, in the gateway's words. */
async function difference(route) {
  const answer = await call("Apply", { document: { routes: [route] }, dry_run: true, managed_by: "api" });
  return answer.changes ?? [];
}

function Targets({ data, targets, onTargets }) {
  const change = (index, changes) => onTargets(targets.map((each, at) => (at === index ? { ...each, ...changes } : each)));
  const places = [...(data.providers ?? []).map((each) => [each, each]), ["", t("route.nodes")]];
  const add = () => onTargets([...targets, edited({ provider: data.providers?.[0] ?? "", tier: num(targets.at(-1)?.tier) })]);
  return html`
    <fieldset class="stack">
      <legend><strong>${t("route.targets")}</strong></legend>
      ${!data.providers?.length && html`<${Notice} tone="warn">${t("route.no_providers")}<//>`}
      ${targets.map(
        (each, index) => html`
          <div class="target-row" key=${index}>
            <${SelectField} label=${t("route.place")} value=${each.place} onValue=${(place) => change(index, { place })} options=${places} />
            <${TextField} label=${t("route.upstream")} value=${each.model} onValue=${(model) => change(index, { model })} suggestions=${each.place ? undefined : data.offered ?? []} />
            <${TextField} label=${t("route.tier")} value=${each.tier} onValue=${(tier) => change(index, { tier })} inputmode="numeric" />
            <${TextField} label=${t("route.weight")} value=${each.weight} onValue=${(weight) => change(index, { weight })} inputmode="numeric" />
            <${TextField} label=${t("route.input")} value=${each.input} onValue=${(input) => change(index, { input })} inputmode="decimal" />
            <${TextField} label=${t("route.output")} value=${each.output} onValue=${(output) => change(index, { output })} inputmode="decimal" />
            <${TextField} label=${t("route.context")} value=${each.context} onValue=${(context) => change(index, { context })} inputmode="numeric" />
            <${CheckField} label=${t("target.paused")} checked=${each.paused} onValue=${(paused) => change(index, { paused })} />
            <${prices.Prices} value=${each.prices} onValue=${(next) => change(index, { prices: next })} />
            ${targets.length > 1 && html`<${IconButton} icon="close" label=${t("route.remove_target")} onClick=${() => onTargets(targets.filter((_, at) => at !== index))} />`}
          </div>
        `,
      )}
      <div><${Button} icon="plus" onClick=${add}>${t("route.add_target")}<//></div>
      <p class="hint">${t("route.targets_hint")}</p>
    </fieldset>
  `;
}
