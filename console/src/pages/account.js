// The signed-in user's account: password, personal tokens, sign-out everywhere.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { ago, day, num } from "../format.js";
import { t } from "../i18n.js";
import { signOut, user } from "../session.js";
import { useView } from "../view.js";
import { Secret } from "../ui/code.js";
import { Button, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog, confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, Notice, announce } from "../ui/feedback.js";
import { Card, Page } from "../ui/page.js";
import { Table } from "../ui/table.js";

const LIFETIMES = [7, 30, 90, 365];
const DAY = 86_400;

export default function Account() {
  const { name = "", email = "", admin, memberships = [] } = user.value ?? {};
  const everywhere = () =>
    confirm({ title: t("account.everywhere"), text: t("account.everywhere_text"), action: t("account.everywhere"), work: () => signOut({ everywhere: true }) });
  return html`
    <${Page} title=${name || email} lead=${email} actions=${html`<${Button} kind="danger" icon="out" onClick=${everywhere}>${t("account.everywhere")}<//>`}>
      <p class="limits">
        ${admin && html`<${Badge} tone="info">${t("role.admin")}<//>`}
        ${memberships.map((each) => html`<${Badge}>${each.organisation}: ${t(`role.${each.role}`)}<//>`)}
      </p>
      <div class="after"><${Tokens} /></div>
      ${user.value?.has_password && html`<div class="after"><${Password} /></div>`}
    <//>
  `;
}

function Password() {
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const send = async () => {
    await call("ChangePassword", { current, password });
    setCurrent("");
    setPassword("");
    announce(t("account.password_changed"));
  };
  return html`
    <${Card} title=${t("account.password")}>
      <${Form} onSend=${send} action=${t("account.change")} disabled=${password.length < 12}>
        <${TextField} label=${t("account.current")} type="password" autocomplete="current-password" value=${current} onValue=${setCurrent} />
        <${TextField} label=${t("account.new")} hint=${t("link.password_hint")} type="password" autocomplete="new-password" value=${password} onValue=${setPassword} />
      <//>
    <//>
  `;
}

function Tokens() {
  const view = useView("ListTokens");
  const [adding, setAdding] = useState(false);
  const revoke = (token) =>
    confirm({
      title: t("account.revoke_title", { name: token.name }),
      text: t("account.revoke_text"),
      action: t("key.revoke"),
      work: async () => {
        await call("RevokeToken", { id: token.id });
        await view.reload();
      },
    });
  const columns = [
    { id: "name", title: t("key.name"), main: true, sort: (each) => each.name, cell: (each) => html`${each.name}<span class="sub mono">${each.id}</span>` },
    { id: "ends", title: t("key.expires"), cell: (each) => day(num(each.expires_at) * 1000) },
    { id: "used", title: t("account.used"), cell: (each) => (num(each.used_at) ? ago(num(each.used_at)) : t("account.never")) },
    { id: "actions", title: "", cell: (each) => html`<div class="row"><button type="button" class="button danger small" aria-label=${`${t("key.revoke")}: ${each.name}`} onClick=${() => revoke(each)}>${t("key.revoke")}</button></div>` },
  ];
  const empty = html`<${Empty} icon="keys" title=${t("account.no_tokens")}><p>${t("account.no_tokens_text")}</p><//>`;
  return html`
    <${Card} title=${t("account.tokens")} actions=${html`<${Button} icon="plus" onClick=${() => setAdding(true)}>${t("account.new_token")}<//>`}>
      <${Loaded} view=${view} lines=${2}>
        ${(data) => html`<${Table} label=${t("account.tokens")} columns=${columns} rows=${data.tokens ?? []} rowKey=${(each) => each.id} empty=${empty} />`}
      <//>
      ${adding && html`<${NewToken} onClose=${() => setAdding(false)} onDone=${view.reload} />`}
    <//>
  `;
}

function NewToken({ onClose, onDone }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const [value, setValue] = useState("");
  const send = async () => {
    const answer = await call("CreateToken", { name, ttl_seconds: Number(days) * DAY });
    setValue(answer.value ?? "");
    await onDone();
  };
  return html`
    <${Dialog} title=${t("account.new_token")} onClose=${onClose}>
      ${value
        ? html`
            <${Notice} tone="warn">${t("account.token_once")}<//>
            <${Secret} value=${value} label=${t("account.token")} />
            <div class="form-actions"><${Button} kind="primary" onClick=${onClose}>${t("key.kept")}<//></div>
          `
        : html`
            <${Form} onSend=${send} action=${t("account.make")} onCancel=${onClose} disabled=${!name}>
              <${TextField} label=${t("key.name")} hint=${t("account.token_hint")} value=${name} onValue=${setName} name="name" />
              <${SelectField} label=${t("key.expires")} value=${days} onValue=${setDays} options=${LIFETIMES.map((each) => [String(each), t(`expiry.${each}`)])} />
            <//>
          `}
    <//>
  `;
}
