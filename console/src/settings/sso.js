// Sign-in of people: the console's address, and identity providers.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { CheckField, Field, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Badge } from "../ui/feedback.js";
import { Entries, Rows } from "./entries.js";
import { lines } from "./sections.js";
import { Section } from "./section.js";

/** @typedef {import("../generated/types.d.ts").IdentityProvider} IdentityProvider */

const ROLES = ["ROLE_VIEWER", "ROLE_MEMBER", "ROLE_OPERATOR", "ROLE_OWNER"];
/** An additional entry in the list of an organisation's roles. */
const ADMIN = "admin";

/** @param {import("./section.js").SectionProps} props */
export function SignInSettings(props) {
  const { gateway, put, data, isFixed } = props;
  const stored = gateway.accounts ?? {};
  const [url, setUrl] = useState(stored.console_url ?? "");
  const [only, setOnly] = useState(stored.sso_only ?? false);
  return html`
    <${Section} isFixed=${isFixed} onSend=${() => put({ accounts: { ...stored, console_url: url, sso_only: only } })}>
      <${TextField} label=${t("sso.console_url")} hint=${t("sso.console_url_hint")} type="url" optional value=${url} onValue=${setUrl} placeholder="https://console.example.org" />
      <${CheckField} label=${t("sso.only")} hint=${t("sso.only_hint")} checked=${only} onValue=${setOnly} />
    <//>
    <h3 class="after">${t("sso.providers")}</h3>
    <${Entries} items=${gateway.oidc ?? []} onItems=${(oidc) => put({ oidc })} isFixed=${isFixed}
      texts=${{ none: t("sso.none"), add: t("sso.add"), removeTitle: (name) => t("sso.remove_title", { name }), removeText: t("sso.remove_text") }}
      about=${(each) => html`<${Badge} tone=${each.has_secret ? "ok" : "plain"}>${t(each.has_secret ? "sso.with_secret" : "sso.public")}<//>`}
      editor=${({ item, ...more }) => html`<${ProviderDialog} provider=${item} organisations=${data.organisations ?? []} ...${more} />`} />
  `;
}

/** @param {{provider?: IdentityProvider, organisations: string[], onClose: () => void, onSend: (provider: IdentityProvider) => Promise<void>}} props */
function ProviderDialog({ provider, organisations, onClose, onSend }) {
  const [form, setForm] = useState(() => begin(provider));
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  const send = () => onSend(written(form, provider));
  const text = (name, more = {}) => html`<${TextField} label=${t(`sso.${name}`)} value=${form[name]} onValue=${set(name)} name=${name} ...${more} />`;
  return html`
    <${Dialog} title=${provider ? t("sso.edit", { name: provider.name }) : t("sso.add")} onClose=${onClose} wide>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose} disabled=${!form.name || !form.issuer || !form.client_id}>
        <div class="form-grid">
          ${text("name", { hint: t("form.name_hint"), disabled: Boolean(provider) })} ${text("title", { hint: t("sso.title_hint"), optional: true })}
        </div>
        ${text("issuer", { hint: t("sso.issuer_hint"), type: "url", placeholder: "https://login.example.com" })}
        <div class="form-grid">
          ${text("client_id")}
          ${text("client_secret", { type: "password", autocomplete: "new-password", optional: true, hint: provider?.has_secret ? t("settings.kept") : t("sso.secret_hint") })}
        </div>
        <p class="hint">${t("sso.redirect", { url: `${location.origin}/admin/v1/oidc/${form.name || "…"}:callback` })}</p>
        <${Groups} rows=${form.groups} organisations=${organisations} onRows=${set("groups")} />
        <details>
          <summary>${t("sso.more")}</summary>
          <div class="stack after">
            <div class="form-grid">${text("scopes", { placeholder: "profile email", optional: true })} ${text("groups_claim", { placeholder: "groups", optional: true })}</div>
            <${Field} label=${t("sso.domains")} hint=${t("sso.domains_hint")} optional>
              ${(attributes) => html`<textarea rows="2" value=${form.domains} placeholder="example.com" onInput=${(event) => set("domains")(event.currentTarget.value)} ...${attributes}></textarea>`}
            <//>
            ${form.domains.trim() &&
            html`<div class="form-grid">
              <${SelectField} label=${t("sso.joins")} value=${form.organisation} onValue=${set("organisation")} options=${[["", t("sso.nothing")], ...organisations.map((each) => [each, each])]} />
              ${form.organisation && html`<${SelectField} label=${t("sso.role")} value=${form.role} onValue=${set("role")} options=${ROLES.map((each) => [each, t(`role.${each}`)])} />`}
            </div>`}
          </div>
        </details>
      <//>
    <//>
  `;
}

const Groups = ({ rows, organisations, onRows }) => html`
  <${Rows} title=${t("sso.groups")} hint=${t("sso.groups_hint")} rows=${rows} onRows=${onRows} class="limit-row"
    fresh=${{ group: "", organisation: organisations[0] ?? "", role: "ROLE_MEMBER" }}
    add=${t("sso.add_group")} removeLabel=${(row) => t("sso.remove_group", { group: row.group })}>
    ${(row, change) => html`
      <${TextField} label=${t("sso.group")} value=${row.group} onValue=${(group) => change({ group })} />
      <${SelectField} label=${t("sso.role")} value=${row.role} onValue=${(role) => change({ role })} options=${[...ROLES.map((each) => [each, t(`role.${each}`)]), [ADMIN, t("role.admin")]]} />
      ${row.role !== ADMIN && html`<${SelectField} label=${t("key.organisation")} value=${row.organisation} onValue=${(organisation) => change({ organisation })} options=${organisations.map((each) => [each, each])} />`}
    `}
  <//>
`;

/** @param {IdentityProvider} [provider] */
const begin = (provider = {}) => ({
  name: provider.name ?? "",
  title: provider.title ?? "",
  issuer: provider.issuer ?? "",
  client_id: provider.client_id ?? "",
  client_secret: "",
  scopes: (provider.scopes ?? []).join(" "),
  groups_claim: provider.groups_claim ?? "",
  groups: (provider.groups ?? []).map((each) => ({ group: each.group ?? "", organisation: each.organisation ?? "", role: each.admin ? ADMIN : each.role ?? "ROLE_MEMBER" })),
  domains: (provider.sign_up?.domains ?? []).join("\n"),
  organisation: provider.sign_up?.organisation ?? "",
  role: provider.sign_up?.role ?? "ROLE_MEMBER",
});

/** The provider that the form describes. @returns {IdentityProvider} */
function written({ groups, domains, organisation, role, scopes, ...form }, provider) {
  const joins = organisation ? { organisation, role } : {};
  return {
    ...provider,
    ...form,
    scopes: scopes.split(/\s+/).filter(Boolean),
    groups: groups.map((each) => (each.role === ADMIN ? { group: each.group, admin: true } : each)),
    sign_up: lines(domains).length ? { domains: lines(domains), ...joins } : {},
  };
}
