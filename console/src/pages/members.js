// Members: people of each organisation with their roles, and invitations.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { ago, day, num } from "../format.js";
import { t } from "../i18n.js";
import { isAdmin, user as me } from "../session.js";
import { useView } from "../view.js";
import { Copy } from "../ui/code.js";
import { Button, CheckField, Form, SelectField, Tabs, TextField } from "../ui/controls.js";
import { Dialog, confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, Notice, announce } from "../ui/feedback.js";
import { Page } from "../ui/page.js";
import { Table } from "../ui/table.js";

const ROLES = ["ROLE_VIEWER", "ROLE_MEMBER", "ROLE_OPERATOR", "ROLE_OWNER"];
const roles = () => ROLES.map((each) => [each, t(`role.${each}`)]);

export default function Members() {
  const view = useView("GetMembersView");
  const [tab, setTab] = useState("members");
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const close = () => setDialog(null);
  const invite = html`<${Button} kind="primary" icon="plus" disabled=${!view.data} onClick=${() => setDialog({ kind: "invite" })}>${t("members.invite")}<//>`;
  return html`
    <${Page} title=${t("nav.members")} lead=${t("members.lead")} actions=${invite}>
      <${Loaded} view=${view}>
        ${(data) => html`
          <${Tabs} label=${t("nav.members")} value=${tab} onValue=${setTab}
            tabs=${[["members", t("members.people")], ["invitations", t("members.invitations")]]}>
            ${(shown) =>
              shown === "members"
                ? html`<${People} users=${data.users ?? []} invite=${invite} onOpen=${setDialog} reload=${view.reload} />`
                : html`<${Invitations} invitations=${data.invitations ?? []} reload=${view.reload} />`}
          <//>
        `}
      <//>
      ${dialog?.kind === "invite" &&
      html`<${InviteUser} organisations=${view.data?.organisations ?? []} onClose=${close} onDone=${view.reload} />`}
      ${dialog?.kind === "roles" &&
      html`<${Roles} user=${dialog.user} organisations=${view.data?.organisations ?? []} onClose=${close} onDone=${view.reload} />`}
      ${dialog?.kind === "link" &&
      html`<${Link} title=${t("members.reset_title", { email: dialog.email })} url=${dialog.url} onClose=${close} />`}
    <//>
  `;
}

function People({ users, invite, onOpen, reload }) {
  const columns = [
    { id: "name", title: t("members.who"), main: true, sort: (each) => each.email, cell: (each) => html`${each.name || each.email}<span class="sub">${each.email}</span>` },
    { id: "roles", title: t("members.roles"), cell: (each) => html`<${Memberships} user=${each} />` },
    { id: "state", title: t("key.state"), cell: (each) => (each.disabled ? html`<${Badge} tone="bad">${t("members.disabled")}<//>` : html`<${Badge} tone="ok">${t("members.active")}<//>`) },
    { id: "since", title: t("members.since"), sort: (each) => num(each.created_at), cell: (each) => day(num(each.created_at) * 1000) },
    { id: "actions", title: "", cell: (each) => html`<${Actions} user=${each} onOpen=${onOpen} reload=${reload} />` },
  ];
  const empty = html`<${Empty} icon="members" title=${t("members.empty")} action=${invite}><p>${t("members.empty_text")}</p><//>`;
  return html`<${Table} label=${t("members.people")} columns=${columns} rows=${users} rowKey=${(each) => each.id} empty=${empty} initial="name"
    search=${(each) => `${each.email} ${each.name ?? ""}`} />`;
}

const Memberships = ({ user }) => html`
  <span class="limits">
    ${user.admin && html`<${Badge} tone="info">${t("role.admin")}<//>`}
    ${(user.memberships ?? []).map((each) => html`<${Badge}>${each.organisation}: ${t(`role.${each.role}`)}<//>`)}
  </span>
`;

function Actions({ user, onOpen, reload }) {
  const named = (text) => ({ "aria-label": `${text}: ${user.email}` });
  const disable = () =>
    confirm({
      title: t("members.disable_title", { email: user.email }),
      text: t("members.disable_text"),
      action: t("members.disable"),
      work: async () => {
        await call("UpdateUser", { user: user.id, disabled: true });
        announce(t("members.disabled_now", { email: user.email }));
        await reload();
      },
    });
  const enable = async () => {
    await call("UpdateUser", { user: user.id, disabled: false });
    await reload();
  };
  const reset = async () => {
    const answer = await call("ResetUser", { user: user.id });
    onOpen({ kind: "link", email: user.email, url: answer.url });
  };
  const isMe = user.id === me.value?.id;
  return html`
    <div class="row">
      <button type="button" class="button quiet small" ...${named(t("members.roles"))} onClick=${() => onOpen({ kind: "roles", user })}>${t("members.roles")}</button>
      ${isAdmin.value && !isMe && html`<button type="button" class="button quiet small" ...${named(t("members.reset"))} onClick=${reset}>${t("members.reset")}</button>`}
      ${isAdmin.value &&
      !isMe &&
      (user.disabled
        ? html`<button type="button" class="button small" ...${named(t("members.enable"))} onClick=${enable}>${t("members.enable")}</button>`
        : html`<button type="button" class="button danger small" ...${named(t("members.disable"))} onClick=${disable}>${t("members.disable")}</button>`)}
    </div>
  `;
}

function Roles({ user, organisations, onClose, onDone }) {
  const known = Object.fromEntries((user.memberships ?? []).map((each) => [each.organisation, each.role]));
  const [wanted, setWanted] = useState(/** @type {Record<string, string>} */ (known));
  const [admin, setAdmin] = useState(user.admin ?? false);
  const send = async () => {
    for (const name of organisations) {
      const role = wanted[name] ?? "";
      if (role === (known[name] ?? "")) continue;
      if (role) await call("PutMember", { organisation: name, user: user.id, role: /** @type {any} */ (role) });
      else await call("RemoveMember", { organisation: name, user: user.id });
    }
    if (admin !== (user.admin ?? false)) await call("UpdateUser", { user: user.id, admin });
    announce(t("members.saved", { email: user.email }));
    await onDone();
    onClose();
  };
  return html`
    <${Dialog} title=${user.email} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose}>
        ${organisations.map(
          (name) => html`<${SelectField} label=${name} value=${wanted[name] ?? ""} onValue=${(role) => setWanted({ ...wanted, [name]: role })}
            options=${[["", t("role.none")], ...roles()]} />`,
        )}
        ${isAdmin.value && html`<${CheckField} label=${t("role.admin")} hint=${t("role.admin_hint")} checked=${admin} onValue=${setAdmin} />`}
        <p class="hint">${t("members.removed_hint")}</p>
      <//>
    <//>
  `;
}

function InviteUser({ organisations, onClose, onDone }) {
  const [email, setEmail] = useState("");
  const [organisation, setOrganisation] = useState(organisations[0] ?? "");
  const [role, setRole] = useState("ROLE_MEMBER");
  const [admin, setAdmin] = useState(false);
  const [made, setMade] = useState("");
  const send = async () => {
    const answer = await call("InviteUser", { email, organisation, role: /** @type {any} */ (role), admin });
    setMade(answer.url ?? "");
    await onDone();
  };
  if (made) return html`<${Link} title=${t("members.invited", { email })} url=${made} onClose=${onClose} />`;
  return html`
    <${Dialog} title=${t("members.invite")} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("members.make_link")} onCancel=${onClose} disabled=${!email}>
        <${TextField} label=${t("signin.email")} type="email" name="email" value=${email} onValue=${setEmail} />
        <${SelectField} label=${t("key.organisation")} value=${organisation} onValue=${setOrganisation}
          options=${[...organisations.map((each) => [each, each]), ...(isAdmin.value ? [["", t("role.none")]] : [])]} />
        ${organisation && html`<${SelectField} label=${t("members.role")} hint=${t(`role.about.${role}`)} value=${role} onValue=${setRole} options=${roles()} />`}
        ${isAdmin.value && html`<${CheckField} label=${t("role.admin")} hint=${t("role.admin_hint")} checked=${admin} onValue=${setAdmin} />`}
      <//>
    <//>
  `;
}

const Link = ({ title, url, onClose }) => html`
  <${Dialog} title=${title} onClose=${onClose}>
    <${Notice} tone="warn">${t("members.link_once")}<//>
    <div class="secret"><code>${url}</code><${Copy} text=${url} label=${t("copy.of", { what: t("members.link") })} kind="primary" /></div>
    <div class="form-actions"><${Button} kind="primary" onClick=${onClose}>${t("form.close")}<//></div>
  <//>
`;

function Invitations({ invitations, reload }) {
  const revoke = (each) =>
    confirm({
      title: t("members.revoke_title", { email: each.email }),
      text: t("members.revoke_text"),
      action: t("key.revoke"),
      work: async () => {
        await call("RevokeInvitation", { id: each.id });
        await reload();
      },
    });
  const columns = [
    { id: "email", title: t("signin.email"), main: true, sort: (each) => each.email, cell: (each) => each.email },
    { id: "role", title: t("members.role"), cell: (each) => html`<${Memberships} user=${{ admin: each.admin, memberships: each.organisation ? [each] : [] }} />` },
    { id: "ends", title: t("key.expires"), cell: (each) => ago(num(each.expires_at)) },
    { id: "actions", title: "", cell: (each) => html`<div class="row"><button type="button" class="button danger small" aria-label=${`${t("key.revoke")}: ${each.email}`} onClick=${() => revoke(each)}>${t("key.revoke")}</button></div>` },
  ];
  const empty = html`<${Empty} icon="members" title=${t("members.no_invitations")}><p>${t("members.no_invitations_text")}</p><//>`;
  return html`<${Table} label=${t("members.invitations")} columns=${columns} rows=${invitations} rowKey=${(each) => each.id} empty=${empty} />`;
}
