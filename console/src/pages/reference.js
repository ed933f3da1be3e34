// API reference: the Admin API by its OpenAPI document, and the clients' API by the documentation's own tables.
import { html, useEffect, useMemo, useState } from "../html.js";
import { credentials } from "../session.js";
import { language, t } from "../i18n.js";
import { oneOf, place, refine } from "../router.js";
import { CLIENTS } from "../generated/clients.js";
import { Button, Tabs } from "../ui/controls.js";
import { Badge, Failure, Skeleton } from "../ui/feedback.js";
import { Card, Page } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { download } from "../csv.js";

const DOCUMENT = "/admin/v1/openapi.json";
const TONES = { get: "ok", post: "info", put: "warn", patch: "warn", delete: "bad" };

export default function Reference() {
  const shown = oneOf(place.value.query.api, ["admin", "clients"]);
  const [found, setFound] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    fetch(DOCUMENT, { headers: credentials() })
      .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(answer.statusText))))
      .then(setFound, setError);
  }, []);
  const save = html`<${Button} icon="download" disabled=${!found} onClick=${() => download("openapi.json", JSON.stringify(found, null, 1), "application/json")}>${t("reference.document")}<//>`;
  return html`
    <${Page} title=${t("nav.reference")} lead=${t("reference.lead")} actions=${save}>
      <${Tabs} label=${t("nav.reference")} value=${shown} onValue=${(api) => refine({ api })}
        tabs=${[["admin", t("reference.admin")], ["clients", t("reference.clients")]]}>
        ${(tab) => {
          if (tab === "clients") return html`<${Clients} />`;
          if (error) return html`<${Failure} error=${error} />`;
          return found ? html`<${Admin} document=${found} />` : html`<${Skeleton} lines=${8} />`;
        }}
      <//>
    <//>
  `;
}

function Admin({ document }) {
  const russian = useRussian();
  const [needle, setNeedle] = useState("");
  const operations = useMemo(
    () => Object.entries(document.paths).flatMap(([path, verbs]) => Object.entries(verbs).map(([verb, each]) => ({ path, verb, ...each }))),
    [document],
  );
  const wanted = needle.trim().toLowerCase();
  const said = useMemo(() => inRussian(document, russian), [document, russian]);
  const matching = operations.filter((each) => !wanted || `${each.path} ${each.operationId} ${each.description} ${about(each, russian)}`.toLowerCase().includes(wanted));
  return html`
    <input class="search" type="search" value=${needle} placeholder=${t("reference.search")} aria-label=${t("reference.search")}
      onInput=${(event) => setNeedle(event.currentTarget.value)} />
    <ol class="events">
      ${matching.map((each) => html`<${Operation} key=${each.operationId} operation=${each} schemas=${document.components.schemas} russian=${russian} said=${said} />`)}
    </ol>
    ${!matching.length && html`<p class="none">${t("reference.none")}</p>`}
  `;
}

function Operation({ operation, schemas, russian, said }) {
  const [open, setOpen] = useState(false);
  const { verb, path, operationId, parameters = [], requestBody, responses } = operation;
  const body = requestBody?.content["application/json"].schema;
  const answer = responses["200"].content["application/json"].schema;
  return html`
    <li>
      <details onToggle=${(event) => setOpen(event.currentTarget.open)}>
        <summary class="call"><${Badge} tone=${TONES[verb]}>${verb.toUpperCase()}<//><code>${path}</code><span class="muted">${operationId}</span></summary>
        ${open &&
        html`
          <div class="stack after">
            <p><${Marked} text=${about(operation, russian)} /></p>
            ${parameters.length > 0 && html`<h3>${t("reference.parameters")}</h3><${Fields} fields=${parameters.map((each) => [each.name, each.schema, each.description, each.required])} schemas=${schemas} said=${said} />`}
            ${body && html`<h3>${t("reference.body")}</h3><${Members} schema=${body} schemas=${schemas} said=${said} />`}
            <h3>${t("reference.answer")}</h3><${Members} schema=${answer} schemas=${schemas} said=${said} />
          </div>
        `}
      </details>
    </li>
  `;
}

const target = (schema, schemas) => schemas[(schema.$ref ?? "").split("/").at(-1)];

const Members = ({ schema, schemas, said }) => {
  const { properties = {}, required = [] } = target(schema, schemas) ?? {};
  return html`<${Fields} schemas=${schemas} said=${said} fields=${Object.entries(properties).map(([name, each]) => [name, each, each.description, required.includes(name)])} />`;
};

/** The fields of an object; nested objects can be expanded. */
const Fields = ({ fields, schemas, said }) => html`
  <dl class="reference">
    ${fields.map(([name, schema, description, required]) => html`<${Member} name=${name} schema=${schema} description=${description} required=${required} schemas=${schemas} said=${said} />`)}
    ${!fields.length && html`<div class="muted">–</div>`}
  </dl>
`;

function Member({ name, schema, description, required, schemas, said }) {
  const [open, setOpen] = useState(false);
  const item = schema.items ?? schema;
  const inner = target(item, schemas);
  const kind = item.enum ? item.enum.join(" | ") : item.$ref ? item.$ref.split("/").at(-1) : item.format ?? item.type;
  return html`
    <div>
      <dt><code>${name}</code> <span class="muted">${kind}${schema.items ? "[]" : ""}</span> ${required && html`<${Badge} tone="info">${t("reference.required")}<//>`}</dt>
      <dd>
        <${Description} text=${description} said=${said} />
        ${inner && html`<details onToggle=${(event) => setOpen(event.currentTarget.open)}><summary>${kind}</summary>${open && html`<${Members} schema=${item} schemas=${schemas} said=${said} />`}</details>`}
      </dd>
    </div>
  `;
}

/** What a field means; in English, marked as such, where there is no Russian text. */
function Description({ text = "", said }) {
  if (!said || !text) return html`<${Marked} text=${text} />`;
  return said.has(text) ? html`<${Marked} text=${said.get(text)} />` : html`<span lang="en"><${Badge}>en<//> <${Marked} text=${text} /></span>`;
}

/** The Russian of each English description in the document; null in English. */
function inRussian(document, russian) {
  if (!russian) return null;
  const found = new Map();
  for (const [message, { properties = {} }] of Object.entries(document.components.schemas)) {
    for (const [name, { description }] of Object.entries(properties)) {
      const text = russian.FIELDS[`${message}.${name}`];
      if (description && text) found.set(description, text);
    }
  }
  return found;
}

/** The page's Russian texts, loaded on demand; null in English, whose texts are in the documents themselves. */
function useRussian() {
  const [found, setFound] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (language.value === "ru") Promise.all([import("../i18n/reference/ru.js"), import("../i18n/reference/ru_fields.js")]).then(([calls, fields]) => setFound({ ...calls, ...fields }));
    else setFound(null);
  }, [language.value]);
  return found;
}

/** Splits a call's description from its role, which is the last sentence of the document's description. */
function about({ operationId, description = "" }, russian) {
  const [, does, needs] = /^(.*?) ?Needs: ([^.]*)\.$/s.exec(description) ?? ["", description, ""];
  return [russian?.OPERATIONS[operationId] ?? does, needs && t("reference.needs", { role: russian?.NEEDS[needs] ?? needs })].filter(Boolean).join(" ");
}

/** Text with `code` in it. @param {{text: string}} props */
const Marked = ({ text }) => html`${text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part))}`;

function Clients() {
  const russian = useRussian();
  const rows = {
    headers: CLIENTS.headers.map(([name, ...rest]) => [name, ...(russian?.HEADERS[name] ?? rest)]),
    errors: CLIENTS.errors.map(([code, status, ...rest]) => [code, status, ...(russian?.ERRORS[code.replaceAll("`", "")] ?? rest)]),
  };
  const column = (index, title, main = false) => ({ id: String(index), title, main, cell: (row) => html`<span><${Marked} text=${row[index] ?? ""} /></span>` });
  const of = (name, titles) => html`
    <${Table} label=${t(`reference.${name}`)} columns=${titles.map((title, index) => column(index, title, index === 0))} rows=${rows[name]} rowKey=${(row) => row.join()}
      search=${(row) => row.join(" ")} />
  `;
  return html`
    <p class="muted">${t("reference.clients_text")}</p>
    <${Card} title=${t("reference.endpoint")} class="after"><${Endpoints} /><//>
    <${Card} title=${t("reference.headers")}>${of("headers", [t("reference.header"), t("reference.endpoint"), t("reference.meaning")])}<//>
    <${Card} title=${t("reference.errors")}>${of("errors", [t("reference.code"), t("reference.status"), t("reference.meaning"), t("reference.todo")])}<//>
  `;
}

const Endpoints = () => html`
  <ul class="plain-list">
    ${CLIENTS.endpoints.map(([verb, path]) => html`<li class="row"><${Badge} tone=${TONES[verb.toLowerCase()] ?? "ok"}>${verb}<//><${Marked} text=${path} /></li>`)}
  </ul>
`;
