// The form that creates or replaces a provider.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { t } from "../i18n.js";
import { CheckField, Field, Form, SelectField, TextField } from "../ui/controls.js";
import { Dialog } from "../ui/dialog.js";
import { announceChange } from "../ui/feedback.js";
import { Rows } from "../settings/entries.js";
import { OtherFields, otherFields } from "./other.js";

/** The base URLs of known providers. */
const KNOWN = {
  openai: "https://api.openai.com/v1",
  anthropic: "https://api.anthropic.com/v1",
  gemini: "https://generativelanguage.googleapis.com/v1beta/openai",
  openrouter: "https://openrouter.ai/api/v1",
  mistral: "https://api.mistral.ai/v1",
  groq: "https://api.groq.com/openai/v1",
  deepseek: "https://api.deepseek.com/v1",
  ollama: "http://127.0.0.1:11434/v1",
  vllm: "http://127.0.0.1:8000/v1",
};

/** The fields without a control of their own. There is only one dialect. */
const OTHERS = otherFields("Provider", { name: 0, base_url: 0, stream_usage: 0, health_path: 0, ca_file: 0, dialect: 0 });

/** @param {{provider?: import("../generated/types.d.ts").Provider, onClose: () => void, onDone: () => any}} props */
export function ProviderDialog({ provider, onClose, onDone }) {
  const [name, setName] = useState(provider?.name ?? "");
  const [url, setUrl] = useState(provider?.base_url ?? "");
  const [keys, setKeys] = useState("");
  const [usage, setUsage] = useState(provider?.stream_usage ?? true);
  const [clear, setClear] = useState(false);
  const [quota, setQuota] = useState(/** @type {import("../generated/types.d.ts").Quota[]} */ (provider?.quota ?? []));
  const [own, setOwn] = useState(/** @type {import("../generated/types.d.ts").CredentialQuota[]} */ (provider?.credential_quotas ?? []));
  const [healthPath, setHealthPath] = useState(provider?.health_path ?? "");
  const [statuses, setStatuses] = useState((provider?.health_statuses ?? []).join(", "));
  const [caFile, setCaFile] = useState(provider?.ca_file ?? "");
  const choose = (known) => {
    if (!known) return;
    setName(known);
    setUrl(KNOWN[known]);
  };
  const [other, setOther] = useState(/** @type {Record<string, any>} */ ({ ...provider }));
  const send = async () => {
    const credentials = keys.split("\n").map((each) => each.trim()).filter(Boolean);
    const checks = healthPath ? { health_statuses: numbers(statuses) } : { health_every_seconds: 0, health_statuses: [] };
    const answer = await call("PutProvider", {
      provider: { ...other, ...checks, name, base_url: url, credentials, stream_usage: usage, clear_credentials: clear, quota, credential_quotas: own, health_path: healthPath, ca_file: caFile },
    });
    announceChange(t("provider.saved", { name }), answer.propagation);
    await onDone();
    onClose();
  };
  return html`
    <${Dialog} title=${provider ? t("provider.edit", { name: provider.name }) : t("provider.new")} onClose=${onClose}>
      <${Form} onSend=${send} action=${t("form.save")} onCancel=${onClose} disabled=${!name || !url}>
        ${!provider &&
        html`
          <${SelectField} label=${t("provider.known")} value=${name in KNOWN ? name : ""} onValue=${choose}
            options=${[["", t("provider.another")], ...Object.keys(KNOWN).map((each) => [each, each])]} />
          <${TextField} label=${t("provider.name")} hint=${t("form.name_hint")} value=${name} onValue=${setName} name="name" />
        `}
        <${TextField} label=${t("provider.url")} hint=${t("provider.url_hint")} value=${url} onValue=${setUrl} type="url" name="url" />
        <${Field} label=${t("provider.credentials")} optional
          hint=${provider ? t("provider.credentials_kept", { n: provider.credential_count ?? 0 }) : t("provider.credentials_hint")}>
          ${(attributes) => html`
            <textarea class="hidden-text" rows="2" value=${keys} autocomplete="off" spellcheck=${false} name="credentials"
              onInput=${(event) => setKeys(event.currentTarget.value)} ...${attributes}></textarea>
          `}
        <//>
        ${Boolean(provider?.credential_count) &&
        html`<${CheckField} label=${t("provider.clear")} checked=${clear} onValue=${setClear} />`}
        <details>
          <summary>${t("provider.more")}</summary>
          <div class="stack after">
            <${QuotaFields} title=${t("provider.quota")} quota=${quota} onQuota=${setQuota} />
            ${several(provider).map(
              (credential) => html`
                <${QuotaFields} title=${t("provider.quota_of", { n: credential })} quota=${own.find((each) => each.credential === credential)?.quota ?? []}
                  onQuota=${(next) => setOwn([...own.filter((each) => each.credential !== credential), ...(next.length ? [{ credential, quota: next }] : [])])} />
              `,
            )}
            <div class="form-grid">
              <${TextField} label=${t("provider.health_path")} hint=${t("provider.health_hint")} optional value=${healthPath} onValue=${setHealthPath} placeholder="/models" />
              <${TextField} label=${t("provider.health_statuses")} hint=${t("provider.health_statuses_hint")} optional value=${statuses} onValue=${setStatuses} placeholder="200" />
              <${TextField} label=${t("provider.ca_file")} hint=${t("provider.ca_hint")} optional value=${caFile} onValue=${setCaFile} />
              <${OtherFields} message="Provider" names=${OTHERS} values=${other} onValues=${setOther} />
            </div>
          </div>
        </details>
        <${CheckField} label=${t("provider.stream_usage")} hint=${t("provider.stream_usage_hint")} checked=${usage} onValue=${setUsage} />
      <//>
    <//>
  `;
}

/** @param {string} text separated by commas or spaces */
const numbers = (text) => text.split(/[,;\s]+/).map(Number).filter((each) => each > 0);

/** The quotas that always have a field; others are rows. */
const QUOTAS = [["METRIC_REQUESTS", "60"], ["METRIC_TOKENS", "60"], ["METRIC_REQUESTS", "86400"], ["METRIC_TOKENS", "86400"]];

/** The numbers of a provider's stored credentials if it has several: each may have its own quota. */
const several = (provider) => (provider?.credential_count > 1 ? Array.from({ length: provider.credential_count }, (_, index) => index + 1) : []);

function QuotaFields({ title, quota, onQuota }) {
  const is = (metric, per) => (each) => each.metric === metric && String(each.per_seconds) === per;
  // A row stays one while its window is typed.
  const [rows, setRows] = useState(quota.filter((each) => !QUOTAS.some(([metric, per]) => is(metric, per)(each))));
  const changeRows = (next) => {
    onQuota([...quota.filter((each) => !rows.includes(each)), ...next]);
    setRows(next);
  };
  const change = (metric, per, text) => {
    const others = quota.filter((each) => !is(metric, per)(each));
    const amount = String(Math.round(Number(text) || 0));
    onQuota(amount === "0" ? others : [...others, { metric, per_seconds: per, amount }]);
  };
  return html`
    <fieldset>
      <legend><strong>${title}</strong></legend>
      <div class="form-grid">
        ${QUOTAS.map(
          ([metric, per]) => html`<${TextField} label=${`${t(`metric.name.${metric}`)} ${t(`per.${per}`)}`} inputmode="numeric" placeholder=${t("limits.none")}
            value=${quota.find(is(metric, per))?.amount ?? ""} onValue=${(text) => change(metric, per, text)} />`,
        )}
      </div>
      <${Rows} rows=${rows} onRows=${changeRows} class="limit-row" fresh=${{ metric: "METRIC_REQUESTS", per_seconds: "1", amount: "1" }}
        add=${t("provider.add_quota")} removeLabel=${() => t("provider.remove_quota")}>
        ${(row, change) => html`
          <${SelectField} label=${t("limits.metric")} value=${row.metric} options=${["METRIC_REQUESTS", "METRIC_TOKENS"].map((each) => [each, t(`metric.name.${each}`)])} onValue=${(metric) => change({ metric })} />
          <${TextField} label=${t("limits.amount")} value=${row.amount} inputmode="numeric" onValue=${(amount) => change({ amount })} />
          <${TextField} label=${t("limits.seconds")} value=${row.per_seconds} inputmode="numeric" onValue=${(per_seconds) => change({ per_seconds })} />
        `}
      <//>
    </fieldset>
  `;
}
