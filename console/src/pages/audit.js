// Audit: who changed what, with the values before and after.
import { html, useEffect, useState } from "../html.js";
import { call } from "../api.js";
import { ago, moment, num } from "../format.js";
import { t, word } from "../i18n.js";
import { oneOf, place, refine } from "../router.js";
import { isAdmin } from "../session.js";
import { useView } from "../view.js";
import { Button, SelectField, TextField } from "../ui/controls.js";
import { Badge, Empty, Loaded, announce } from "../ui/feedback.js";
import { Page } from "../ui/page.js";
import { Fields } from "../routes/difference.js";

const TYPES = ["", "provider", "route", "organisation", "key", "node", "join-token", "gateway", "user", "member", "invitation", "token", "request"];
const PAGE = 50;

export default function Audit() {
  const { name = "", organisation = "", ...query } = place.value.query;
  const type = oneOf(query.type, TYPES);
  const wanted = { page_size: PAGE, object_type: type, object_name: name, organisation };
  const view = useView("ListAuditEvents", wanted);
  const verify = async () => {
    const found = await call("VerifyAudit");
    announce(found.intact ? t("audit.intact", { n: num(found.events) }) : t("audit.broken", { id: found.first_broken_id ?? "" }), found.intact ? "ok" : "bad");
  };
  return html`
    <${Page} title=${t("nav.audit")} lead=${t("audit.lead")} actions=${isAdmin.value && html`<${Button} icon="check" onClick=${verify}>${t("audit.verify")}<//>`}>
      <div class="filters">
        <${SelectField} label=${t("audit.type")} value=${type} onValue=${(next) => refine({ type: next })}
          options=${TYPES.map((each) => [each, each ? t(`audit.of.${each}`) : t("audit.all")])} />
        <${TextField} label=${t("audit.name")} value=${name} type="search" placeholder=${t("audit.all")} onValue=${() => {}}
          onChange=${(event) => refine({ name: event.currentTarget.value.trim() })} />
        ${isAdmin.value && html`<${TextField} label=${t("usage.filter.organisation")} value=${organisation} type="search" placeholder=${t("usage.all")}
          onValue=${() => {}} onChange=${(event) => refine({ organisation: event.currentTarget.value.trim() })} />`}
      </div>
      <${Loaded} view=${view}>${(data) => html`<${Events} key=${JSON.stringify(wanted)} first=${data.events ?? []} wanted=${wanted} />`}<//>
    <//>
  `;
}

function Events({ first, wanted }) {
  const [older, setOlder] = useState(/** @type {any[]} */ ([]));
  const [ended, setEnded] = useState(first.length < PAGE);
  useEffect(() => setEnded(first.length < PAGE), [first]);
  const events = [...first, ...older];
  const more = async () => {
    const answer = await call("ListAuditEvents", { ...wanted, before_id: events.at(-1)?.id });
    setOlder([...older, ...(answer.events ?? [])]);
    setEnded((answer.events ?? []).length < PAGE);
  };
  if (!events.length) return html`<${Empty} icon="audit" title=${t("audit.empty")}><p>${t("audit.empty_text")}</p><//>`;
  return html`
    <ol class="events">
      ${events.map((each) => html`<${Event} key=${each.id} event=${each} />`)}
    </ol>
    ${!ended && html`<div class="after"><${Button} onClick=${more}>${t("audit.more")}<//></div>`}
  `;
}

const TONES = { create: "ok", delete: "bad", revoke: "bad", update: "info", rotate: "warn" };

const Event = ({ event }) => html`
  <li>
    <details>
      <summary>
        <${Badge} tone=${TONES[event.action] ?? "plain"}>${word(`action.${event.action}`, event.action)}<//>
        <span class="what">${word(`object.${event.object_type}`, event.object_type)} <strong>${event.object_name}</strong></span>
        <span class="muted">${event.actor}</span>
        <time class="muted" title=${moment(num(event.at_us) / 1000)}>${ago(num(event.at_us) / 1e6)}</time>
      </summary>
      <${Fields} fields=${difference(event)} />
      <p class="hint">${t("audit.facts", { id: event.id, revision: event.revision ?? "–", when: moment(num(event.at_us) / 1000) })}</p>
    </details>
  </li>
`;

/** The fields in which before and after differ. */
function difference({ before, after }) {
  const [old, young] = [read(before), read(after)];
  return [...new Set([...Object.keys(old), ...Object.keys(young)])]
    .map((field) => ({ field, before: write(old[field]), after: write(young[field]) }))
    .filter((each) => each.before !== each.after);
}

function read(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return { "": text };
  }
}

const write = (value) => (value === undefined ? "" : JSON.stringify(value));
