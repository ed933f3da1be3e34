// Keys and limits: who may use which models, and how much.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { ago, count, day, nano, num } from "../format.js";
import { rich, t } from "../i18n.js";
import { Limits } from "../limits.js";
import { oneOf, place, refine } from "../router.js";
import { isAdmin, isAtLeast } from "../session.js";
import { localTime, unixSeconds } from "../times.js";
import { useView } from "../view.js";
import { CheckField, Button, Form, SelectField, Tabs, TextField } from "../ui/controls.js";
import { Code } from "../ui/code.js";
import { Dialog, confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, announceChange } from "../ui/feedback.js";
import { Manager, Page, isFiles } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { KeyDialog, MadeKey } from "../forms/key.js";
import { OperatorFields, begin, written } from "../forms/key_fields.js";
import { Budgets } from "./budgets.js";
import { OrganisationDialog } from "../forms/organisation.js";
import { baseUrl } from "../gateway.js";

export default function Keys() {
  const [revoked, setRevoked] = useState(false);
  const view = useView("GetKeysView", { include_revoked: revoked });
  const tab = oneOf(place.value.query.tab, ["keys", "organisations", ...(isAdmin.value ? ["budgets"] : [])]);
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const open = (next) => setDialog(next);
  const close = () => setDialog(null);
  const organisations = view.data && (view.data.organisations ?? []).map((each) => each.name ?? "");
  const action =
    tab === "keys"
      ? isAtLeast("ROLE_MEMBER") && html`<${Button} kind="primary" icon="plus" onClick=${() => open({ kind: "new" })}>${t("key.new")}<//>`
      : tab === "organisations" && isAdmin.value && html`<${Button} kind="primary" icon="plus" onClick=${() => open({ kind: "organisation" })}>${t("organisation.new")}<//>`;
  return html`
    <${Page} title=${t("keys.title")} lead=${t("keys.lead")} actions=${action}>
      <${Tabs} label=${t("keys.title")} value=${tab} onValue=${(next) => refine({ tab: next })}
        tabs=${[["keys", t("keys.keys")], ["organisations", t("keys.organisations")], ...(isAdmin.value ? [["budgets", t("budgets.title")]] : [])]}>
        ${(shown) => shown === "budgets" ? html`<${Budgets} />` : html`
          <${Loaded} view=${view}>
            ${(data) =>
              shown === "keys"
                ? html`
                    <${KeyTable} data=${data} onOpen=${open} reload=${view.reload} />
                    <div class="after"><${CheckField} label=${t("keys.revoked_too")} checked=${revoked} onValue=${setRevoked} /></div>
                  `
                : html`<${OrganisationTable} data=${data} onOpen=${open} reload=${view.reload} />`}
          <//>
        `}
      <//>
      ${dialog?.kind === "new" && organisations &&
      html`<${KeyDialog} organisations=${organisations} models=${view.data?.models} base=${baseUrl(view.data?.clients)}
        onClose=${close} onDone=${view.reload} />`}
      ${dialog?.kind === "edit" && html`<${EditKey} item=${dialog.item} onClose=${close} onDone=${view.reload} />`}
      ${dialog?.kind === "rotate" &&
      html`<${RotateKey} item=${dialog.item} onClose=${close} onDone=${view.reload}
        onMade=${(value) => open({ kind: "made", value, item: dialog.item })} />`}
      ${dialog?.kind === "made" &&
      html`<${MadeKey} value=${dialog.value} name=${dialog.item.name} base=${baseUrl(view.data?.clients)}
        model=${view.data?.models?.[0]} onClose=${close} />`}
      ${dialog?.kind === "organisation" &&
      html`<${OrganisationDialog} organisation=${dialog.item} onClose=${close} onDone=${view.reload} />`}
    <//>
  `;
}

function KeyTable({ data, onOpen, reload }) {
  const usage = new Map((data.usage ?? []).map((row) => [row.values?.[0], row]));
  const used = (key) => usage.get(`${key.organisation}/${key.name}`) ?? {};
  const columns = [
    { id: "name", title: t("key.name"), main: true, sort: (key) => key.name, cell: (key) => html`${key.name} <${Manager} manager=${key.managed_by} /><span class="sub mono">${key.id}</span>` },
    { id: "organisation", title: t("key.organisation"), sort: (key) => key.organisation, cell: (key) => key.organisation },
    { id: "models", title: t("key.models"), cell: (key) => html`<span class="broken-words">${key.models?.length ? key.models.join(", ") : "*"}</span>` },
    { id: "limits", title: t("limits.title"), cell: (key) => html`<${Limits} limits=${key.limits} />` },
    { id: "state", title: t("key.state"), cell: (key) => html`<${KeyState} item=${key} />` },
    {
      id: "cost",
      title: t("keys.cost30"),
      number: true,
      sort: (key) => num(used(key).cost_nano_usd),
      cell: (key) => html`<span>${nano(used(key).cost_nano_usd)}<span class="sub">${t("keys.requests30", { n: num(used(key).requests), requests: count(used(key).requests) })}</span></span>`,
    },
    { id: "actions", title: "", cell: (key) => html`<${KeyActions} item=${key} onOpen=${onOpen} reload=${reload} />` },
  ];
  const empty = html`
    <${Empty} icon="keys" title=${t("keys.empty")}
      action=${isAtLeast("ROLE_MEMBER") && html`<${Button} kind="primary" icon="plus" onClick=${() => onOpen({ kind: "new" })}>${t("key.new")}<//>`}>
      <p>${t("keys.empty_text")}</p>
      <${Code} text="trunkline keys create --org default --name laptop" />
    <//>
  `;
  return html`<${Table} label=${t("keys.keys")} columns=${columns} rows=${data.keys ?? []} rowKey=${(key) => key.id} empty=${empty}
    search=${(key) => `${key.name} ${key.id} ${key.organisation}`} initial="name" />`;
}

function KeyState({ item }) {
  const now = Date.now() / 1000;
  const expires = num(item.expires_at);
  const grace = num(item.former_until);
  if (num(item.revoked_at)) return html`<${Badge} tone="bad">${t("key.revoked")}<//>`;
  if (expires && expires < now) return html`<${Badge} tone="bad">${t("key.expired")}<//>`;
  return html`
    <${Badge} tone="ok">${t("key.works")}<//>
    ${expires > 0 && html`<span class="sub">${t("key.until", { when: day(expires * 1000) })}</span>`}
    ${grace > now && html`<span class="sub">${t("key.grace", { when: ago(grace) })}</span>`}
  `;
}

function KeyActions({ item, onOpen, reload }) {
  if (num(item.revoked_at) || !isAtLeast("ROLE_MEMBER", item.organisation)) return null;
  const revoke = () =>
    confirm({
      title: t("key.revoke_title", { name: item.name }),
      text: t("key.revoke_text"),
      action: t("key.revoke"),
      work: async () => {
        const answer = await call("RevokeKey", { id: item.id });
        announceChange(t("key.revoked_now", { name: item.name }), answer.propagation);
        await reload();
      },
    });
  const of = { "aria-describedby": `key-${item.id}` };
  return html`
    <div class="row">
      <span class="unseen" id=${`key-${item.id}`}>${item.name}</span>
      ${!isFiles(item.managed_by) &&
      html`<button type="button" class="button quiet small" onClick=${() => onOpen({ kind: "edit", item })} ...${of}>${t("form.edit")}</button>`}
      <button type="button" class="button quiet small" onClick=${() => onOpen({ kind: "rotate", item })} ...${of}>${t("key.rotate")}</button>
      <button type="button" class="button danger small" onClick=${revoke} ...${of}>${t("key.revoke")}</button>
    </div>
  `;
}

function EditKey({ item, onClose, onDone }) {
  const [name, setName] = useState(item.name);
  const [models, setModels] = useState((item.models ?? []).join(", "));
  const [expires, setExpires] = useState(localTime(item.expires_at));
  const [fields, setFields] = useState(begin(item));
  const isOperator = isAtLeast("ROLE_OPERATOR", item.organisation);
  const send = async () => {
    const patterns = models.split(",").map((each) => each.trim()).filter(Boolean);
    const whole = { models: patterns.length ? patterns : ["*"], ...written(fields), clear_limits: !fields.limits.length };
    const until = expires === localTime(item.expires_at) ? {} : { expires_at: unixSeconds(expires) };
    const answer = await call("UpdateKey", { id: item.id, version: item.version, name, ...until, ...(isOperator ? whole : {}) });
    announceChange(t("key.saved", { name }), answer.propagation);
    await onDone();
    onClose();
  };
  return html`
    <${Dialog} title=${t("key.edit", { name: item.name })} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose} disabled=${!name}>
        <${TextField} label=${t("key.name")} value=${name} onValue=${setName} />
        <${TextField} label=${t("key.expires_at")} hint=${t("key.expires_at_hint")} type="datetime-local" step="1" optional value=${expires} onValue=${setExpires} />
        ${isOperator &&
        html`
          <${TextField} label=${t("key.models")} hint=${t("key.models_hint")} value=${models} onValue=${setModels} placeholder="*" />
          <${OperatorFields} value=${fields} onValue=${setFields} />
        `}
      <//>
    <//>
  `;
}

const GRACES = ["0", "3600", "86400", "604800"];

function RotateKey({ item, onClose, onDone, onMade }) {
  const [grace, setGrace] = useState("86400");
  const send = async () => {
    const answer = await call("RotateKey", { id: item.id, grace_seconds: Number(grace) });
    announceChange(t("key.rotated", { name: item.name }), answer.propagation);
    await onDone();
    onMade(answer.value);
  };
  return html`
    <${Dialog} title=${t("key.rotate_title", { name: item.name })} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("key.rotate")} onCancel=${onClose}>
        <p>${t("key.rotate_text")}</p>
        <${SelectField} label=${t("key.grace_label")} value=${grace} onValue=${setGrace}
          options=${GRACES.map((each) => [each, t(`grace.${each}`)])} />
      <//>
    <//>
  `;
}

function OrganisationTable({ data, onOpen, reload }) {
  const keys = (name) => (data.keys ?? []).filter((each) => each.organisation === name && !num(each.revoked_at)).length;
  const remove = (item) =>
    confirm({
      title: t("organisation.remove_title", { name: item.name }),
      text: rich("organisation.remove_text", { n: html`<strong>${keys(item.name)}</strong>` }),
      action: t("form.remove"),
      work: async () => {
        const answer = await call("DeleteOrganisation", { name: item.name, version: item.version });
        announceChange(t("organisation.removed", { name: item.name }), answer.propagation);
        await reload();
      },
    });
  const columns = [
    { id: "name", title: t("organisation.name"), main: true, sort: (each) => each.name, cell: (each) => html`${each.name} <${Manager} manager=${each.managed_by} />` },
    { id: "keys", title: t("keys.keys"), number: true, sort: (each) => keys(each.name), cell: (each) => count(keys(each.name)) },
    { id: "limits", title: t("limits.title"), cell: (each) => html`<${Limits} limits=${each.limits} />` },
    {
      id: "actions",
      title: "",
      cell: (each) =>
        isAdmin.value &&
        !isFiles(each.managed_by) &&
        html`
          <div class="row">
            <button type="button" class="button quiet small" aria-label=${`${t("form.edit")}: ${each.name}`} onClick=${() => onOpen({ kind: "organisation", item: each })}>${t("form.edit")}</button>
            <button type="button" class="button danger small" aria-label=${`${t("form.remove")}: ${each.name}`} onClick=${() => remove(each)}>${t("form.remove")}</button>
          </div>
        `,
    },
  ];
  return html`<${Table} label=${t("keys.organisations")} columns=${columns} rows=${data.organisations ?? []} rowKey=${(each) => each.id}
    search=${(each) => each.name ?? ""} initial="name" />`;
}
