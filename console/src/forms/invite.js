// The form that invites a machine: a single-use token in the command for its system.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { moment, num } from "../format.js";
import { t } from "../i18n.js";
import { Code } from "../ui/code.js";
import { Button, CheckField, Form, SelectField, Tabs, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { Notice } from "../ui/feedback.js";

const VISIBILITIES = ["VISIBILITY_ORGANISATION", "VISIBILITY_PRIVATE", "VISIBILITY_COMMUNITY"];
const LIFETIMES = ["3600", "86400", "604800"];

/** The wheel, copied to the folder in which a command runs. No package registry has it. */
const WHEEL = '"$(ls ./trunkline-*.whl)[node]"';
const IMAGE = "docker build -f deploy/node/Dockerfile -t trunkline-node .";
const WINDOWS_WHEEL = '"$((Get-Item ./trunkline-*.whl).FullName)[node]"';

/** The same commands as `trunkline nodes invite` prints. @param {string} url @param {string} token */
const commands = (url, token) => {
  const join = `join ${url} --token ${token}`;
  return {
    linux: `pip install ${WHEEL} && trunkline-node ${join}`,
    service: `sh install.sh --package ${WHEEL} --url ${url} --token ${token}`,
    windows: `py -m pip install ${WINDOWS_WHEEL}; if ($?) { trunkline-node ${join} }`,
    docker: `docker run -d --name trunkline-node --restart unless-stopped --network host \\
  -v trunkline-node:/var/lib/trunkline-node trunkline-node ${join} --if-needed`,
  };
};

/** @param {{organisations: string[], onClose: () => void}} props */
export function InviteDialog({ organisations, onClose }) {
  const [organisation, setOrganisation] = useState(organisations[0] ?? "");
  const [owner, setOwner] = useState("");
  const [name, setName] = useState("");
  const [visibility, setVisibility] = useState(VISIBILITIES[0]);
  const [lifetime, setLifetime] = useState(LIFETIMES[0]);
  const [approval, setApproval] = useState(false);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const [system, setSystem] = useState("linux");
  const send = async () =>
    setMade(
      await call("InviteNode", {
        organisation,
        owner_key: owner,
        name,
        visibility: /** @type {any} */ (visibility),
        ttl_seconds: Number(lifetime),
        require_approval: approval,
      }),
    );
  if (made) {
    const all = commands(made.join_url, made.token);
    return html`
      <${Dialog} title=${t("invite.made")} onClose=${onClose} wide>
        <${Notice} tone="warn">${t("invite.once", { when: moment(num(made.expires_at) * 1000) })}<//>
        <p>${t(system === "docker" ? "invite.before_docker" : "invite.before")}</p>
        <${Code} text=${system === "docker" ? IMAGE : "make wheel"} />
        <${Tabs} label=${t("invite.system")} value=${system} onValue=${setSystem} tabs=${Object.keys(all).map((each) => [each, t(`invite.${each}`)])}>
          ${(shown) => html`<${Code} text=${all[shown]} label=${t(`invite.${shown}`)} />`}
        <//>
        <p class="muted">${t("invite.then")}</p>
        <div class="form-actions"><${Button} kind="primary" onClick=${onClose}>${t("form.close")}<//></div>
      <//>
    `;
  }
  return html`
    <${Dialog} title=${t("nodes.invite")} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("invite.action")} onCancel=${onClose} disabled=${!organisation}>
        <${SelectField} label=${t("key.organisation")} value=${organisation} onValue=${setOrganisation} options=${organisations.map((each) => [each, each])} />
        <${TextField} label=${t("invite.owner")} hint=${t("invite.owner_hint")} optional value=${owner} onValue=${setOwner} />
        <${TextField} label=${t("provider.name")} hint=${t("invite.name_hint")} optional value=${name} onValue=${setName} />
        <${SelectField} label=${t("invite.visibility")} value=${visibility} onValue=${setVisibility} options=${VISIBILITIES.map((each) => [each, t(`visibility.${each}`)])} />
        <${SelectField} label=${t("invite.lifetime")} value=${lifetime} onValue=${setLifetime} options=${LIFETIMES.map((each) => [each, t(`grace.${each}`)])} />
        <${CheckField} label=${t("invite.approval")} checked=${approval} onValue=${setApproval} />
      <//>
    <//>
  `;
}
