// Issuers whose access tokens clients may send instead of an API key.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { Field, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Badge } from "../ui/feedback.js";
import { Entries, Rows } from "./entries.js";
import { lines } from "./sections.js";

/** @typedef {import("../generated/types.d.ts").JwtIssuer} JwtIssuer */

/** @param {import("./section.js").SectionProps} props */
export const JwtIssuers = ({ gateway, put, data, isFixed }) => html`
  <${Entries} items=${gateway.jwt ?? []} onItems=${(jwt) => put({ jwt })} isFixed=${isFixed}
    texts=${{ none: t("jwt.none"), add: t("jwt.add"), removeTitle: (name) => t("jwt.remove_title", { name }), removeText: t("jwt.remove_text") }}
    about=${(each) => html`<${Badge} tone=${each.key_ids?.length ? "ok" : "warn"}>${each.key_ids?.length ? t("jwt.keys", { n: each.key_ids.length }) : t("jwt.no_keys")}<//>`}
    editor=${({ item, ...props }) => html`<${IssuerDialog} issuer=${item} organisations=${data.organisations ?? []} ...${props} />`} />
`;

/** @param {{issuer?: JwtIssuer, organisations: string[], onClose: () => void, onSend: (issuer: JwtIssuer) => Promise<void>}} props */
function IssuerDialog({ issuer, organisations, onClose, onSend }) {
  const [form, setForm] = useState({
    name: issuer?.name ?? "",
    issuer: issuer?.issuer ?? "",
    audiences: (issuer?.audiences ?? []).join("\n"),
    jwks_url: issuer?.jwks_url ?? "",
    user_claim: issuer?.user_claim ?? "",
    grants: issuer?.grants ?? [grantOf(organisations)],
  });
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  const send = () => onSend({ ...issuer, ...form, audiences: lines(form.audiences) });
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
const Grants = ({ rows, organisations, onRows }) => html`
  <${Rows} title=${t("jwt.grants")} hint=${t("jwt.grants_hint")} rows=${rows} onRows=${onRows} fresh=${grantOf(organisations)} class="grant-row" least=${1}
    add=${t("jwt.add_grant")} removeLabel=${(_, index) => t("jwt.remove_grant", { n: index + 1 })}>
    ${(row, change) => html`
      <${TextField} label=${t("jwt.claim")} value=${row.claim ?? ""} onValue=${(claim) => change({ claim })} placeholder=${t("jwt.every_token")} />
      <${TextField} label=${t("jwt.value")} value=${row.value ?? ""} onValue=${(value) => change({ value })} />
      <${SelectField} label=${t("key.organisation")} value=${row.organisation} onValue=${(organisation) => change({ organisation })} options=${organisations.map((each) => [each, each])} />
      <${TextField} label=${t("jwt.key")} value=${row.key ?? ""} onValue=${(key) => change({ key })} />
    `}
  <//>
`;

/** A new row. @param {string[]} organisations */
const grantOf = (organisations) => ({ claim: "", value: "", organisation: organisations[0] ?? "", key: "" });
