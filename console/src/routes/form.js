// The form of a route's options. It shows the difference before a change is made.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { num } from "../format.js";
import { t } from "../i18n.js";
import { LimitsEditor, sent } from "../limits.js";
import { Button, Form, IconButton, SelectField, TextField, CheckField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Notice, announceChange } from "../ui/feedback.js";
import { Difference } from "./difference.js";
import { Simulation } from "./simulation.js";

const STRATEGIES = ["WEIGHTED", "PRIORITY", "CHEAPEST", "FASTEST", "BALANCED", "OWN_FIRST", "OWN_ONLY"].map((each) => `STRATEGY_${each}`);
const PRIVACIES = ["PRIVACY_ANY", "PRIVACY_OWN_NODES"];
const AFFINITIES = ["POOL", "CONVERSATION", "USER", "NONE"].map((each) => `AFFINITY_${each}`);
const PROMPT_KEYS = ["NONE", "CONVERSATION", "USER"].map((each) => `PROMPT_CACHE_KEY_${each}`);
const SCOPES = ["ORGANISATION", "KEY", "USER"].map((each) => `CACHE_SCOPE_${each}`);

const MIB = 1024 * 1024;

const options = (names, prefix) => names.map((each) => [each, t(`${prefix}.${each}`)]);

/** Converts USD per million tokens, as typed, to micro-USD; undefined for an empty field. */
const micro = (text) => (text === "" ? undefined : String(Math.round(Number(text) * 1e6)));
const usd = (value) => (value === undefined ? "" : String(num(value) / 1e6));
const whole = (text) => Math.round(Number(text) || 0);

/** A target in the form's notation; parts of a price that the form does not show are kept. */
const edited = (target) => ({
  stored: target,
  place: target.nodes ? "" : target.provider ?? "",
  model: target.nodes || target.model || "",
  weight: String(target.weight ?? 1),
  tier: String(target.tier ?? 0),
  input: usd(target.price?.input),
  output: usd(target.price?.output),
  context: target.context ? String(target.context) : "",
  paused: target.paused ?? false,
});

function written({ stored, place, model, weight, tier, input, output, context, paused }) {
  const { price_history, provider, nodes, model: former, price, ...kept } = stored;
  const { valid_from, version, ...prices } = price ?? {};
  const asked = input === "" && output === "" ? {} : { price: { ...prices, input: micro(input), output: micro(output) } };
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
          <${SelectField} label=${t("route.strategy")} hint=${t(`strategy.about.${form.strategy}`)} value=${form.strategy} onValue=${set("strategy")} options=${options(STRATEGIES, "strategy")} />
          ${form.strategy === "STRATEGY_BALANCED" && html`<${TextField} label=${t("route.balance")} hint=${t("route.balance_hint")} value=${form.balance} onValue=${set("balance")} inputmode="numeric" />`}
          <${SelectField} label=${t("route.privacy")} value=${form.privacy} onValue=${set("privacy")} options=${options(PRIVACIES, "privacy")} />
          <${SelectField} label=${t("route.affinity")} value=${form.affinity} onValue=${set("affinity")} options=${options(AFFINITIES, "affinity")} />
        </div>
        <details>
          <summary>${t("route.more")}</summary>
          <div class="stack after">
            <div class="form-grid">
              <${Seconds} name="first_byte" form=${form} set=${set} />
              <${Seconds} name="idle" form=${form} set=${set} />
              <${Seconds} name="connect" form=${form} set=${set} />
              <${Seconds} name="cache" form=${form} set=${set} />
              <${SelectField} label=${t("route.cache_scope")} value=${form.scope} onValue=${set("scope")} options=${options(SCOPES, "scope")} />
              <${TextField} label=${t("route.cache_most")} value=${form.cacheMost} onValue=${set("cacheMost")} inputmode="numeric" placeholder=${t("route.default")} />
              <${Seconds} name="queue" form=${form} set=${set} />
              <${TextField} label=${t("route.queue_size")} value=${form.queueSize} onValue=${set("queueSize")} inputmode="numeric" placeholder="200" />
              <${TextField} label=${t("route.reserved")} value=${form.reserved} onValue=${set("reserved")} inputmode="numeric" placeholder="1024" />
            </div>
            <div class="form-grid">
              <${SelectField} label=${t("route.prompt_cache")} hint=${t("route.prompt_cache_hint")} value=${form.promptKey} onValue=${set("promptKey")} options=${options(PROMPT_KEYS, "prompt_cache")} />
              <${CheckField} label=${t("route.stable_order")} hint=${t("route.stable_order_hint")} checked=${form.stableOrder} onValue=${set("stableOrder")} />
            </div>
            <${LimitsEditor} value=${form.limits} onValue=${set("limits")} />
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
    promptKey: route?.prompt_cache_key ?? PROMPT_KEYS[0],
    stableOrder: route?.prompt_cache_stable_order ?? false,
    queue: seconds(route?.queue_longest_ms),
    queueSize: route?.queue_size ? String(route.queue_size) : "",
    reserved: route?.reserved_output_tokens ? String(route.reserved_output_tokens) : "",
    limits: (route?.limits ?? []).map(sent),
  };
}

/** The route that the form describes; values that it does not show keep their stored state. */
function document(route, form) {
  const { id, version, managed_by, ...stored } = route ?? {};
  const ms = (text) => whole(Number(text) * 1000);
  return {
    ...stored,
    model: form.model,
    organisation: form.organisation,
    targets: form.targets.map(written),
    strategy: form.strategy,
    balance: form.strategy === "STRATEGY_BALANCED" ? whole(form.balance) : 0,
    privacy: form.privacy,
    affinity: form.affinity,
    timeouts: { ...stored.timeouts, first_byte_ms: ms(form.first_byte), idle_ms: ms(form.idle), connect_ms: ms(form.connect) },
    cache_ttl_seconds: whole(form.cache),
    cache_scope: form.scope,
    cache_most_bytes: String(whole(form.cacheMost) * MIB),
    prompt_cache_key: form.promptKey,
    prompt_cache_stable_order: form.stableOrder,
    queue_longest_ms: ms(form.queue),
    queue_size: whole(form.queueSize),
    reserved_output_tokens: whole(form.reserved),
    limits: form.limits,
  };
}

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
            ${targets.length > 1 && html`<${IconButton} icon="close" label=${t("route.remove_target")} onClick=${() => onTargets(targets.filter((_, at) => at !== index))} />`}
          </div>
        `,
      )}
      <div><${Button} icon="plus" onClick=${add}>${t("route.add_target")}<//></div>
      <p class="hint">${t("route.targets_hint")}</p>
    </fieldset>
  `;
}
