// The form that creates an organisation, or changes its limits and weight.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { t } from "../i18n.js";
import { LimitsEditor, sent } from "../limits.js";
import { Form, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { announceChange } from "../ui/feedback.js";

/** @param {{organisation?: import("../generated/types.d.ts").Organisation, onClose: () => void, onDone: () => any}} props */
export function OrganisationDialog({ organisation, onClose, onDone }) {
  const [name, setName] = useState(organisation?.name ?? "");
  const [weight, setWeight] = useState(String(organisation?.weight || 1));
  const [limits, setLimits] = useState((organisation?.limits ?? []).map(sent));
  const send = async () => {
    const answer = await call("PutOrganisation", {
      organisation: { ...organisation, name, limits, weight: Number(weight) },
    });
    announceChange(t("organisation.saved", { name }), answer.propagation);
    await onDone();
    onClose();
  };
  return html`
    <${Dialog} title=${organisation ? organisation.name : t("organisation.new")} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose} disabled=${!name}>
        ${!organisation && html`<${TextField} label=${t("organisation.name")} hint=${t("form.name_hint")} value=${name} onValue=${setName} />`}
        <${TextField} label=${t("organisation.weight")} hint=${t("organisation.weight_hint")} value=${weight} onValue=${setWeight} inputmode="numeric" />
        <${LimitsEditor} value=${limits} onValue=${setLimits} />
      <//>
    <//>
  `;
}
