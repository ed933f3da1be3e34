// Sign-in of people: the console's address, and identity providers.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { Button, CheckField, Field, Form, IconButton, SelectField, TextField } from "../ui/controls.js";
import { Dialog, confirm } from "../ui/dialog.js";
import { Badge } from "../ui/feedback.js";
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
  const providers = gateway.oidc ?? [];
  const [url, setUrl] = useState(stored.console_url ?? "");
  const [only, setOnly] = useState(stored.sso_only ?? false);
  const [dialog, setDialog] = useState(/** @type {{at: number} | null} */ (null));
  const remove = (index) =>
    confirm({
      title: t("sso.remove_title", { name: providers[index].name }),
      text: t("sso.remove_text"),
      action: t("form.remove"),
      work: () => put({ oidc: providers.filter((_, at) => at !== index) }),
    });
  const store = (at, provider) => put({ oidc: at < providers.length ? providers.map((each, index) => (index === at ? provider : each)) : [...providers, provider] });
  return html`
    <${Section} isFixed=${isFixed} onSend=${() => put({ accounts: { ...stored, console_url: url, sso_only: only } })}>
      <${TextField} label=${t("sso.console_url")} hint=${t("sso.console_url_hint")} type="url" optional value=${url} onValue=${setUrl} placeholder="https://console.example.org" />
      <${CheckField} label=${t("sso.only")} hint=${t("sso.only_hint")} checked=${only} onValue=${setOnly} />
    <//>
    <h3 class="after">${t("sso.providers")}</h3>
    <ul class="plain-list after">
      ${providers.map((each, index) => html`<${Provider} provider=${each} isFixed=${isFixed} onEdit=${() => setDialog({ at: index })} onRemove=${() => remove(index)} />`)}
    </ul>
    ${!providers.length && html`<p class="muted">${t("sso.none")}</p>`}
    ${!isFixed && html`<div class="after"><${Button} icon="plus" onClick=${() => setDialog({ at: providers.length })}>${t("sso.add")}<//></div>`}
    ${dialog &&
    html`<${ProviderDialog} provider=${providers[dialog.at]} organisations=${data.organisations ?? []} onClose=${() => setDialog(null)} onSend=${(provider) => store(dialog.at, provider)} />`}
  `;
}

const Provider = ({ provider, isFixed, onEdit, onRemove }) => html`
  <li class="row">
    <strong>${provider.title || provider.name}</strong>
    <span class="muted mono broken-words">${provider.issuer}</span>
    <${Badge} tone=${provider.has_secret ? "ok" : "plain"}>${t(provider.has_secret ? "sso.with_secret" : "sso.public")}<//>
    ${!isFixed &&
    html`
      <button type="button" class="button quiet small" aria-label=${`${t("form.edit")}: ${provider.name}`} onClick=${onEdit}>${t("form.edit")}</button>
      <button type="button" class="button danger small" aria-label=${`${t("form.remove")}: ${provider.name}`} onClick=${onRemove}>${t("form.remove")}</button>
    `}
  </li>
`;

/** @param {{provider?: IdentityProvider, organisations: string[], onClose: () => void, onSend: (provider: IdentityProvider) => Promise<void>}} props */
function ProviderDialog({ provider, organisations, onClose, onSend }) {
  const [form, setForm] = useState(() => begin(provider));
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  const send = async () => {
    await onSend(written(form, provider));
    onClose();
  };
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

function Groups({ rows, organisations, onRows }) {
  const change = (index, changes) => onRows(rows.map((each, at) => (at === index ? { ...each, ...changes } : each)));
  const add = () => onRows([...rows, { group: "", organisation: organisations[0] ?? "", role: "ROLE_MEMBER" }]);
  return html`
    <fieldset class="stack">
      <legend><strong>${t("sso.groups")}</strong></legend>
      <p class="hint">${t("sso.groups_hint")}</p>
      ${rows.map(
        (row, index) => html`
          <div class="limit-row" key=${index}>
            <${TextField} label=${t("sso.group")} value=${row.group} onValue=${(group) => change(index, { group })} />
            <${SelectField} label=${t("sso.role")} value=${row.role} onValue=${(role) => change(index, { role })} options=${[...ROLES.map((each) => [each, t(`role.${each}`)]), [ADMIN, t("role.admin")]]} />
            ${row.role !== ADMIN && html`<${SelectField} label=${t("key.organisation")} value=${row.organisation} onValue=${(organisation) => change(index, { organisation })} options=${organisations.map((each) => [each, each])} />`}
            <${IconButton} icon="close" label=${t("sso.remove_group", { group: row.group })} onClick=${() => onRows(rows.filter((_, at) => at !== index))} />
          </div>
        `,
      )}
      <div><${Button} icon="plus" onClick=${add}>${t("sso.add_group")}<//></div>
    </fieldset>
  `;
}

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
