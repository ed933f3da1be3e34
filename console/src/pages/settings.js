// Settings of the whole gateway. Each card is a separate form, which leaves all other settings unchanged.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { t } from "../i18n.js";
import { useView } from "../view.js";
import { Code } from "../ui/code.js";
import { Loaded, Notice, announceChange } from "../ui/feedback.js";
import { Card, Page, isFiles } from "../ui/page.js";
import { Alerts, Cache, Cors, Defaults } from "../settings/sections.js";
import { JwtIssuers } from "../settings/jwt.js";
import { SignInSettings } from "../settings/sso.js";

export default function Settings() {
  const view = useView("GetSettingsView");
  const put = async (changes) => {
    const answer = await call("PutGateway", { gateway: { ...view.data?.gateway, ...changes } });
    announceChange(t("settings.saved"), answer.propagation);
    await view.reload();
  };
  return html`
    <${Page} title=${t("nav.settings")} lead=${t("settings.lead")}>
      <${Loaded} view=${view} lines=${10}>${(data) => html`<${Sections} data=${data} put=${put} />`}<//>
    <//>
  `;
}

/** @param {{data: import("../generated/types.d.ts").GetSettingsViewResponse, put: (changes: any) => Promise<void>}} props */
function Sections({ data, put }) {
  const gateway = data.gateway ?? {};
  const managers = Object.fromEntries((gateway.managers ?? []).map((each) => [each.section, each.managed_by]));
  const files = [...new Set(Object.values(managers).filter(isFiles))].map((each) => each.slice(5));
  const [saved, setSaved] = useState(/** @type {Record<string, number>} */ ({}));
  const card = (id, Section, sections = [id]) => {
    const store = async (changes) => {
      await put(changes);
      setSaved((former) => ({ ...former, [id]: (former[id] ?? 0) + 1 }));
    };
    // Another key resets a form to the stored values. What is typed in other forms stays.
    const key = JSON.stringify([saved[id], ...sections.map((each) => gateway[each])]);
    const isFixed = sections.some((each) => isFiles(managers[each]));
    return html`
      <${Card} title=${t(`settings.${id}`)}>
        <p class="hint card-lead">${t(`settings.${id}_text`)}</p>
        <${Section} ...${{ gateway, put: store, data, isFixed, key }} />
      <//>
    `;
  };
  return html`
    ${files.map((file) => html`<${Notice} tone="info">${t("managed.notice", { name: file })}<${Code} text=${`trunkline apply -f ${file}.yaml`} /><//>`)}
    <div class="grid after">
      ${card("defaults", Defaults)} ${card("alerts", Alerts)} ${card("cache", Cache)} ${card("cors", Cors)}
    </div>
    ${card("sign_in", SignInSettings, ["accounts", "oidc"])} ${card("jwt", JwtIssuers)}
  `;
}
