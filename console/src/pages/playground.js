// Playground: sends a prompt to up to three models at once, through the clients' endpoint with a key.
import { html, signal, useRef, useState } from "../html.js";
import { call } from "../api.js";
import { baseUrl } from "../gateway.js";
import { t } from "../i18n.js";
import { address } from "../router.js";
import { isAdmin, isAtLeast } from "../session.js";
import { useView } from "../view.js";
import { Code } from "../ui/code.js";
import { Button, Field, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Empty, Loaded, announce } from "../ui/feedback.js";
import { Card, Page } from "../ui/page.js";
import { ask, nothing } from "../playground/ask.js";
import { code } from "../playground/code.js";
import { Column } from "../playground/column.js";
import { targetId } from "../routes/targets.js";

const MOST_SIDES = 3;
const DAY = 86_400;
/** Kept only in this page's memory. */
const key = signal("");
/** @type {{value: import("../playground/column.js").Side[]}} */
const sides = signal([]);
let last = 0;

const change = (id, next) => (sides.value = sides.value.map((each) => (each.id === id ? { ...each, ...next(each) } : each)));

export default function Playground() {
  const view = useView("GetModelsView");
  return html`
    <${Page} title=${t("nav.playground")} lead=${t("playground.lead")}>
      <${Loaded} view=${view}>${(data) => html`<${Table} data=${data} />`}<//>
    <//>
  `;
}

function Table({ data }) {
  const routes = data.routes ?? [];
  const models = [...new Set(routes.map((each) => each.route.model))];
  const prices = new Map(
    routes.flatMap(({ route }) =>
      (route.targets ?? []).map((each) => [targetId(each), each.price]),
    ),
  );
  if (!models.length) {
    return html`
      <${Empty} icon="models" title=${t("models.empty")} action=${html`<a class="button primary" href=${address(["models"])}>${t("nav.models")}</a>`}>
        <p>${t("models.empty_text")}</p>
      <//>
    `;
  }
  const targets = (model) =>
    isAdmin.value ? [...new Set(routes.filter(({ route }) => route.model === model).flatMap(({ route }) => (route.targets ?? []).map(targetId)))] : [];
  const side = (model, target = "") => ({ id: ++last, model, target, turns: [] });
  if (!sides.value.length) sides.value = [side(models[0])];
  const add = () => (sides.value = [...sides.value, side(models[sides.value.length % models.length])]);
  const first = sides.value[0].model;
  const compare = () => (sides.value = targets(first).slice(0, MOST_SIDES).map((each) => side(first, each)));
  return html`
    <${KeyCard} organisations=${data.organisations ?? []} />
    <div class=${`columns after sides-${sides.value.length}`}>
      ${sides.value.map(
        (side) => html`
          <${Column} key=${side.id} side=${side} models=${models} targets=${targets(side.model)} prices=${prices}
            onModel=${(model) => change(side.id, () => ({ model, target: "", turns: [] }))}
            onTarget=${(target) => change(side.id, () => ({ target, turns: [] }))}
            onRemove=${sides.value.length > 1 ? () => (sides.value = sides.value.filter((each) => each.id !== side.id)) : undefined} />
        `,
      )}
    </div>
    <div class="row after">
      ${sides.value.length < MOST_SIDES && html`<${Button} icon="plus" onClick=${add}>${t("playground.compare")}<//>`}
      ${targets(first).length > 1 && html`<${Button} onClick=${compare}>${t("playground.compare_targets", { model: first })}<//>`}
    </div>
    <${Composer} base=${baseUrl(data.clients)} />
  `;
}

function KeyCard({ organisations }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const make = async () => {
    const until = Math.floor(Date.now() / 1000) + DAY;
    const name = `playground-${Date.now().toString(36)}`;
    setBusy(true);
    try {
      const answer = await call("CreateKey", {
        key: { name, organisation: organisations[0], expires_at: String(until), ...(isAdmin.value ? { pins_targets: true } : {}) },
      });
      key.value = answer.value ?? "";
      setError("");
      announce(t("playground.key_made", { name }));
    } catch (failure) {
      setError(failure.message);
    }
    setBusy(false);
  };
  return html`
    <${Card}>
      <div class="beside">
        <${TextField} label=${t("playground.key")} hint=${t("playground.key_hint")} type="password" name="key" value=${key.value}
          onValue=${(next) => (key.value = next.trim())} />
        ${organisations.length > 0 && isAtLeast("ROLE_MEMBER") && html`<${Button} busy=${busy} onClick=${make}>${t("playground.make_key")}<//>`}
      </div>
      ${isAdmin.value && html`<p class="hint">${t("playground.pins_hint")}</p>`}
      ${error && html`<p class="form-error" role="alert">${error}</p>`}
    <//>
  `;
}

/** The messages to send: the conversation so far in this column, and the new prompt. */
function request(side, { prompt, images, system, temperature, most, tools }) {
  const content = images.length
    ? [{ type: "text", text: prompt }, ...images.map((url) => ({ type: "image_url", image_url: { url } }))]
    : prompt;
  const said = side.turns
    .filter((each) => each.answer.text)
    .flatMap((each) => [{ role: "user", content: each.prompt }, { role: "assistant", content: each.answer.text }]);
  return {
    model: side.target ? `${side.model}@${side.target}` : side.model,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...said, { role: "user", content }],
    ...(temperature ? { temperature: Number(temperature) } : {}),
    ...(most ? { max_tokens: Number(most) } : {}),
    ...(tools ? { tools: JSON.parse(tools) } : {}),
  };
}

function Composer({ base }) {
  const [form, setForm] = useState({ prompt: "", images: /** @type {string[]} */ ([]), system: "", temperature: "", most: "", tools: "" });
  const [shown, setShown] = useState(false);
  const running = useRef(/** @type {AbortController | null} */ (null));
  const set = (changes) => setForm((former) => ({ ...former, ...changes }));
  const isRunning = sides.value.some((each) => each.turns.at(-1)?.running);

  const isReady = Boolean(form.prompt.trim()) && Boolean(key.value) && !isRunning;
  const send = async () => {
    if (!isReady) return;
    const controller = (running.current = new AbortController());
    const bodies = sides.value.map((side) => [side.id, request(side, form)]);
    set({ prompt: "", images: [] });
    await Promise.all(bodies.map(([id, body]) => converse(id, body, form, controller)));
  };
  const keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
  };
  return html`
    <${Card} class="composer after">
      <${Form} onSend=${send} action=${t("playground.send")} disabled=${!isReady}>
        <${Field} label=${t("playground.prompt")} hint=${t("playground.prompt_hint")}>
          ${(attributes) => html`<textarea rows="3" name="prompt" value=${form.prompt} onKeyDown=${keys}
            onInput=${(event) => set({ prompt: event.currentTarget.value })} ...${attributes}></textarea>`}
        <//>
        ${form.images.length > 0 && html`<div class="row">${form.images.map((each) => html`<img class="thumb" src=${each} alt=${t("playground.image")} />`)}</div>`}
        <details>
          <summary>${t("playground.options")}</summary>
          <div class="stack after">
            <${TextField} label=${t("playground.system")} value=${form.system} onValue=${(system) => set({ system })} />
            <div class="form-grid">
              <${TextField} label=${t("playground.temperature")} inputmode="decimal" value=${form.temperature} onValue=${(temperature) => set({ temperature })} />
              <${TextField} label=${t("playground.most")} inputmode="numeric" value=${form.most} onValue=${(most) => set({ most })} />
              <${Images} onImages=${(images) => set({ images: [...form.images, ...images] })} />
            </div>
            <${Field} label=${t("playground.tools")} hint=${t("playground.tools_hint")}>
              ${(attributes) => html`<textarea rows="3" class="mono" value=${form.tools} onInput=${(event) => set({ tools: event.currentTarget.value })} ...${attributes}></textarea>`}
            <//>
          </div>
        </details>
        <div class="row">
          ${isRunning && html`<${Button} icon="stop" onClick=${() => running.current?.abort()}>${t("playground.stop")}<//>`}
          <${Button} kind="quiet" onClick=${() => setShown(true)}>${t("playground.code")}<//>
        </div>
      <//>
      ${!key.value && html`<p class="hint">${t("playground.no_key")}</p>`}
      ${shown && html`<${AsCode} base=${base} form=${form} onClose=${() => setShown(false)} />`}
    <//>
  `;
}

async function converse(id, body, form, controller) {
  const turn = { prompt: form.prompt, images: form.images, answer: nothing(), error: "", running: true };
  change(id, (side) => ({ turns: [...side.turns, turn] }));
  const update = (changes) => change(id, (side) => ({ turns: [...side.turns.slice(0, -1), { ...side.turns.at(-1), ...changes }] }));
  try {
    await ask({ key: key.value, body, signal: controller.signal, onChange: (answer) => update({ answer }) });
    update({ running: false });
  } catch (error) {
    update({ running: false, error: error.name === "AbortError" ? t("playground.stopped") : error.message, details: error.details });
  }
}

const Images = ({ onImages }) => html`
  <${Field} label=${t("playground.images")}>
    ${(attributes) => html`<input type="file" accept="image/*" multiple ...${attributes}
      onChange=${async (event) => onImages(await Promise.all([...event.currentTarget.files].map(dataUrl)))} />`}
  <//>
`;

const dataUrl = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });

function AsCode({ base, form, onClose }) {
  const [language, setLanguage] = useState("curl");
  const side = sides.value[0];
  const last = side.turns.at(-1);
  const asked = form.prompt || !last ? request(side, { ...form, prompt: form.prompt || "Hello!" }) : request({ ...side, turns: side.turns.slice(0, -1) }, { ...form, prompt: last.prompt });
  const all = code(base, asked);
  const chosen = all.find((each) => each.id === language) ?? all[0];
  return html`
    <${Dialog} title=${t("playground.code")} onClose=${onClose} wide>
      <${SelectField} label=${t("recipes.client")} value=${language} onValue=${setLanguage} options=${all.map((each) => [each.id, each.name])} />
      <${Code} text=${chosen.text} label=${chosen.name} />
    <//>
  `;
}
