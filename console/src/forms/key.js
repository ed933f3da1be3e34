// The form that creates a key. Its value is shown once, with instructions for clients.
import { html, useEffect, useState } from "../html.js";
import { call } from "../api.js";
import { t } from "../i18n.js";
import { isAdmin, isAtLeast } from "../session.js";
import { recipes } from "../recipes.js";
import { Code, Secret } from "../ui/code.js";
import { Button, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Notice, announceChange } from "../ui/feedback.js";
import { OperatorFields, begin, written } from "./key_fields.js";

const EXPIRIES = { never: 0, "7": 7, "30": 30, "90": 90, "365": 365 };

/** Unix seconds, or 0. @param {string} expiry a key of EXPIRIES */
const expiresAt = (expiry) => (EXPIRIES[expiry] ? Math.floor(Date.now() / 1000) + EXPIRIES[expiry] * 86_400 : 0);

/**
 * @param {{organisations?: string[], models?: string[], base: string, onClose: () => void, onDone: () => any}} props
 *   Without `organisations`, the form requests them.
 */
export function KeyDialog({ organisations, models = [], base, onClose, onDone }) {
  const [found, setFound] = useState(/** @type {string[]} */ ([]));
  const owners = organisations ?? found;
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [name, setName] = useState("");
  const [chosen, setOwner] = useState(/** @type {string | null} */ (null));
  const owner = chosen ?? owners[0] ?? "";
  const [newOwner, setNewOwner] = useState("");
  const [patterns, setPatterns] = useState("");
  const [expiry, setExpiry] = useState("never");
  const [fields, setFields] = useState(begin());
  const isOperator = isAtLeast("ROLE_OPERATOR", owner);
  useEffect(() => {
    if (organisations) return;
    call("ListOrganisations").then((answer) => setFound((answer.organisations ?? []).map((each) => each.name ?? "")));
  }, []);
  const send = async () => {
    if (!owner) await call("PutOrganisation", { organisation: { name: newOwner } });
    const answer = await call("CreateKey", {
      key: {
        name,
        organisation: owner || newOwner,
        models: patterns.split(",").map((each) => each.trim()).filter(Boolean),
        ...(isOperator ? written(fields) : {}),
        ...(expiresAt(expiry) ? { expires_at: String(expiresAt(expiry)) } : {}),
      },
    });
    announceChange(t("key.created", { name }), answer.propagation);
    setMade(answer);
    await onDone();
  };
  if (made) {
    return html`<${MadeKey} value=${made.value} name=${name} base=${base} model=${models[0]} onClose=${onClose} />`;
  }
  return html`
    <${Dialog} title=${t("key.new")} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("key.create")} onCancel=${onClose} disabled=${!name || !(owner || newOwner)}>
        <${TextField} label=${t("key.name")} hint=${t("key.name_hint")} value=${name} onValue=${setName} name="name" />
        <${SelectField} label=${t("key.organisation")} value=${owner} onValue=${setOwner}
          options=${[...owners.map((each) => [each, each]), ...(isAdmin.value ? [["", t("key.organisation_new")]] : [])]} />
        ${!owner && html`<${TextField} label=${t("organisation.name")} hint=${t("form.name_hint")} value=${newOwner} onValue=${setNewOwner} />`}
        <${TextField} label=${t("key.models")} hint=${t("key.models_hint")} optional value=${patterns} onValue=${setPatterns}
          placeholder="*" suggestions=${models} />
        <${SelectField} label=${t("key.expires")} value=${expiry} onValue=${setExpiry}
          options=${Object.keys(EXPIRIES).map((each) => [each, t(`expiry.${each}`)])} />
        ${isOperator && html`<${OperatorFields} value=${fields} onValue=${setFields} />`}
      <//>
    <//>
  `;
}

/** @param {{value: string, name: string, base: string, model?: string, onClose: () => void}} props */
export function MadeKey({ value, name, base, model = "gpt-4.1", onClose }) {
  const [client, setClient] = useState("curl");
  const all = recipes(base, model, value);
  const recipe = all.find((each) => each.id === client) ?? all[0];
  return html`
    <${Dialog} title=${t("key.made", { name })} onClose=${onClose} wide>
      <${Notice} tone="warn">${t("key.once")}<//>
      <${Secret} value=${value} label=${t("key.value")} />
      <${SelectField} label=${t("recipes.client")} value=${client} onValue=${setClient} options=${all.map((each) => [each.id, each.name])} />
      <${Code} text=${recipe.text} label=${recipe.name} />
      <div class="form-actions"><${Button} kind="primary" onClick=${onClose}>${t("key.kept")}<//></div>
    <//>
  `;
}
