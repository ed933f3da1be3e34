// Default models, alerts, cached answers, browsers of other origins.
import { html, useState } from "../html.js";
import { num } from "../format.js";
import { t } from "../i18n.js";
import { Button, CheckField, Field, IconButton, SelectField, TextField } from "../ui/controls.js";
import { Badge } from "../ui/feedback.js";
import { Section } from "./section.js";

const MIB = 1024 * 1024;
const HOUR = 3_600;

/** Splits a text into its lines. @param {string} text */
export const lines = (text) => text.split("\n").map((each) => each.trim()).filter(Boolean);

/** @param {import("./section.js").SectionProps} props */
export function Defaults({ gateway, put, data, isFixed }) {
  const [rows, setRows] = useState(gateway.defaults ?? []);
  const endpoints = data.endpoints ?? [];
  const left = endpoints.filter((each) => !rows.some((row) => row.endpoint === each));
  const change = (index, changes) => setRows(rows.map((each, at) => (at === index ? { ...each, ...changes } : each)));
  return html`
    <${Section} isFixed=${isFixed} onSend=${() => put({ defaults: rows })}>
      ${rows.map(
        (row, index) => html`
          <div class="pair-row" key=${index}>
            <${SelectField} label=${t("settings.endpoint")} value=${row.endpoint} onValue=${(endpoint) => change(index, { endpoint })}
              options=${endpoints.filter((each) => each === row.endpoint || left.includes(each)).map((each) => [each, `/v1/${each}`])} />
            <${TextField} label=${t("route.model")} value=${row.model} suggestions=${data.models ?? []} onValue=${(model) => change(index, { model })} />
            <${IconButton} icon="close" label=${t("settings.remove_default", { endpoint: row.endpoint })} onClick=${() => setRows(rows.filter((_, at) => at !== index))} />
          </div>
        `,
      )}
      ${!rows.length && html`<p class="muted">${t("settings.no_defaults")}</p>`}
      ${left.length > 0 && html`<div><${Button} icon="plus" onClick=${() => setRows([...rows, { endpoint: left[0], model: data.models?.[0] ?? "" }])}>${t("settings.add_default")}<//></div>`}
    <//>
  `;
}

/** @param {import("./section.js").SectionProps} props */
export function Alerts({ gateway, put, isFixed }) {
  const stored = gateway.alerts ?? {};
  const [webhook, setWebhook] = useState(stored.webhook ?? "");
  const [secret, setSecret] = useState("");
  return html`
    <${Section} isFixed=${isFixed} onSend=${() => put({ alerts: { ...stored, webhook, secret } })}>
      <${TextField} label=${t("settings.webhook")} hint=${t("settings.webhook_hint")} type="url" optional value=${webhook} onValue=${setWebhook} />
      <${TextField} label=${t("settings.secret")} type="password" autocomplete="new-password" optional value=${secret} onValue=${setSecret}
        hint=${stored.signed ? t("settings.kept") : t("settings.secret_hint")} />
      ${stored.signed && html`<div><${Badge} tone="ok">${t("settings.signed")}<//></div>`}
    <//>
  `;
}

/** @param {import("./section.js").SectionProps} props */
export function Cache({ gateway, put, isFixed }) {
  const stored = gateway.cache ?? {};
  const [store, setStore] = useState(stored.store === "memory" ? "" : stored.store ?? "");
  const [most, setMost] = useState(num(stored.most_bytes) ? String(num(stored.most_bytes) / MIB) : "");
  const [password, setPassword] = useState("");
  const [clear, setClear] = useState(false);
  const [caFile, setCaFile] = useState(stored.ca_file ?? "");
  const send = () =>
    put({ cache: { ...stored, store, most_bytes: String(Math.round((Number(most) || 0) * MIB)), password, clear_password: clear, ca_file: caFile } });
  return html`
    <${Section} isFixed=${isFixed} onSend=${send}>
      <${TextField} label=${t("settings.store")} hint=${t("settings.store_hint")} optional value=${store} onValue=${setStore} placeholder="redis://cache.internal:6379/0" />
      <div class="form-grid">
        <${TextField} label=${t("settings.most")} value=${most} onValue=${setMost} inputmode="numeric" placeholder="256" />
        ${store && html`<${TextField} label=${t("settings.password")} hint=${stored.has_password ? t("settings.kept") : ""} type="password" autocomplete="new-password" optional value=${password} onValue=${setPassword} />`}
        ${store && html`<${TextField} label=${t("provider.ca_file")} optional value=${caFile} onValue=${setCaFile} />`}
      </div>
      ${stored.has_password && html`<${CheckField} label=${t("settings.clear_password")} checked=${clear} onValue=${setClear} />`}
    <//>
  `;
}

/** @param {import("./section.js").SectionProps} props */
export function Cors({ gateway, put, isFixed }) {
  const stored = gateway.cors ?? {};
  const [origins, setOrigins] = useState((stored.origins ?? []).join("\n"));
  const [hours, setHours] = useState(stored.max_age_seconds ? String(stored.max_age_seconds / HOUR) : "");
  const send = () => put({ cors: { ...stored, origins: lines(origins), max_age_seconds: Math.round((Number(hours) || 0) * HOUR) } });
  return html`
    <${Section} isFixed=${isFixed} onSend=${send}>
      <${Field} label=${t("settings.origins")} hint=${t("settings.origins_hint")} optional>
        ${(attributes) => html`<textarea rows="3" class="mono" spellcheck=${false} placeholder="https://app.example.com" value=${origins}
          onInput=${(event) => setOrigins(event.currentTarget.value)} ...${attributes}></textarea>`}
      <//>
      <${TextField} label=${t("settings.max_age")} inputmode="decimal" placeholder="2" value=${hours} onValue=${setHours} />
    <//>
  `;
}
