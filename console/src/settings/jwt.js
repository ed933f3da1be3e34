// Issuers whose access tokens clients may send instead of an API key.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { Button, Field, Form, IconButton, SelectField, TextField } from "../ui/controls.js";
import { Dialog, confirm } from "../ui/dialog.js";
import { Badge } from "../ui/feedback.js";
import { lines } from "./sections.js";

/** @typedef {import("../generated/types.d.ts").JwtIssuer} JwtIssuer */

/** @param {import("./section.js").SectionProps} props */
export function JwtIssuers({ gateway, put, data, isFixed }) {
  const issuers = gateway.jwt ?? [];
  const [dialog, setDialog] = useState(/** @type {{at: number} | null} */ (null));
  const remove = (index) =>
    confirm({
      title: t("jwt.remove_title", { name: issuers[index].name }),
      text: t("jwt.remove_text"),
      action: t("form.remove"),
      work: () => put({ jwt: issuers.filter((_, at) => at !== index) }),
    });
  const store = (at, issuer) => put({ jwt: at < issuers.length ? issuers.map((each, index) => (index === at ? issuer : each)) : [...issuers, issuer] });
  return html`
    <ul class="plain-list">
      ${issuers.map(
        (each, index) => html`
          <li class="row">
            <strong>${each.name}</strong>
            <span class="muted mono broken-words">${each.issuer}</span>
            <${Badge} tone=${each.key_ids?.length ? "ok" : "warn"}>${each.key_ids?.length ? t("jwt.keys", { n: each.key_ids.length }) : t("jwt.no_keys")}<//>
            ${!isFixed &&
            html`
              <button type="button" class="button quiet small" aria-label=${`${t("form.edit")}: ${each.name}`} onClick=${() => setDialog({ at: index })}>${t("form.edit")}</button>
              <button type="button" class="button danger small" aria-label=${`${t("form.remove")}: ${each.name}`} onClick=${() => remove(index)}>${t("form.remove")}</button>
            `}
          </li>
        `,
      )}
    </ul>
    ${!issuers.length && html`<p class="muted">${t("jwt.none")}</p>`}
    ${!isFixed && html`<div class="after"><${Button} icon="plus" onClick=${() => setDialog({ at: issuers.length })}>${t("jwt.add")}<//></div>`}
    ${dialog &&
    html`<${IssuerDialog} issuer=${issuers[dialog.at]} organisations=${data.organisations ?? []} onClose=${() => setDialog(null)} onSend=${(issuer) => store(dialog.at, issuer)} />`}
  `;
}

/** @param {{issuer?: JwtIssuer, organisations: string[], onClose: () => void, onSend: (issuer: JwtIssuer) => Promise<void>}} props */
function IssuerDialog({ issuer, organisations, onClose, onSend }) {
  const [form, setForm] = useState({
    name: issuer?.name ?? "",
    issuer: issuer?.issuer ?? "",
    audiences: (issuer?.audiences ?? []).join("\n"),
    jwks_url: issuer?.jwks_url ?? "",
    user_claim: issuer?.user_claim ?? "",
    grants: issuer?.grants ?? [{ claim: "", value: "", organisation: organisations[0] ?? "", key: "" }],
  });
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  const send = async () => {
    await onSend({ ...issuer, ...form, audiences: lines(form.audiences) });
    onClose();
  };
  const isReady = form.name && form.issuer && form.audiences.trim() && form.grants.every((each) => each.key);
  return html`
    <${Dialog} title=${issuer ? t("jwt.edit", { name: issuer.name }) : t("jwt.add")} onClose=${onClose} wide>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose} disabled=${!isReady}>
        <${TextField} label=${t("sso.name")} hint=${t("jwt.name_hint")} value=${form.name} onValue=${set("name")} disabled=${Boolean(issuer)} />
        <${TextField} label=${t("sso.issuer")} hint=${t("jwt.issuer_hint")} type="url" value=${form.issuer} onValue=${set("issuer")} placeholder="https://login.example.com" />
        <${Field} label=${t("jwt.audiences")} hint=${t("jwt.audiences_hint")}>
          ${(attributes) => html`<textarea rows="2" class="mono" value=${form.audiences} onInput=${(event) => set("audiences")(event.currentTarget.value)} ...${attributes}></textarea>`}
        <//>
        <${Grants} rows=${form.grants} organisations=${organisations} onRows=${set("grants")} />
        <details>
          <summary>${t("jwt.more")}</summary>
          <div class="form-grid after">
            <${TextField} label=${t("jwt.jwks_url")} type="url" optional value=${form.jwks_url} onValue=${set("jwks_url")} />
            <${TextField} label=${t("jwt.user_claim")} optional value=${form.user_claim} onValue=${set("user_claim")} placeholder="sub" />
          </div>
        </details>
      <//>
    <//>
  `;
}

/** The first one that matches a token decides, so their order matters. */
function Grants({ rows, organisations, onRows }) {
  const change = (index, changes) => onRows(rows.map((each, at) => (at === index ? { ...each, ...changes } : each)));
  const add = () => onRows([...rows, { claim: "", value: "", organisation: organisations[0] ?? "", key: "" }]);
  return html`
    <fieldset class="stack">
      <legend><strong>${t("jwt.grants")}</strong></legend>
      <p class="hint">${t("jwt.grants_hint")}</p>
      ${rows.map(
        (row, index) => html`
          <div class="grant-row" key=${index}>
            <${TextField} label=${t("jwt.claim")} value=${row.claim ?? ""} onValue=${(claim) => change(index, { claim })} placeholder=${t("jwt.every_token")} />
            <${TextField} label=${t("jwt.value")} value=${row.value ?? ""} onValue=${(value) => change(index, { value })} />
            <${SelectField} label=${t("key.organisation")} value=${row.organisation} onValue=${(organisation) => change(index, { organisation })} options=${organisations.map((each) => [each, each])} />
            <${TextField} label=${t("jwt.key")} value=${row.key ?? ""} onValue=${(key) => change(index, { key })} />
            ${rows.length > 1 && html`<${IconButton} icon="close" label=${t("jwt.remove_grant", { n: index + 1 })} onClick=${() => onRows(rows.filter((_, at) => at !== index))} />`}
          </div>
        `,
      )}
      <div><${Button} icon="plus" onClick=${add}>${t("jwt.add_grant")}<//></div>
    </fieldset>
  `;
}
