// Requests: running ones, live; ended ones, searchable; a single one, explained attempt by attempt.
import { html, useState } from "../html.js";
import { call } from "../api.js";
import { count, dated, duration, moment, nano, num } from "../format.js";
import { t } from "../i18n.js";
import { address, oneOf, place, refine } from "../router.js";
import { useView } from "../view.js";
import { Button, Segmented, SelectField, TextField } from "../ui/controls.js";
import { confirm } from "../ui/dialog.js";
import { Badge, Empty, Loaded, Notice, announce } from "../ui/feedback.js";
import { Page } from "../ui/page.js";
import { Table } from "../ui/table.js";
import { Explained } from "../requests/explained.js";

const STATUSES = ["", "failed", "cancelled", "expired", "429", "4xx", "5xx"];
const PAGE = 100;
/** The maximum of running requests in the list; the count has all of them. */
const MOST_RUNNING = 200;

export default function Requests() {
  const { path, query } = place.value;
  if (path[1]) return html`<${Explained} key=${path[1]} id=${path[1]} onCancel=${cancel} />`;
  const shown = oneOf(query.show, ["running", "finished"]);
  return html`
    <${Page} title=${t("nav.requests")} lead=${t("requests.lead")}
      actions=${html`<${Segmented} label=${t("requests.which")} value=${shown} onValue=${(show) => refine({ show })}
        options=${[["running", t("requests.running")], ["finished", t("requests.finished")]]} />`}>
      ${shown === "running" ? html`<${Running} />` : html`<${Finished} query=${query} />`}
    <//>
  `;
}

function cancel(request, reload) {
  confirm({
    title: t("requests.cancel_title"),
    text: t("requests.cancel_text"),
    action: t("requests.cancel"),
    work: async () => {
      await call("CancelRequest", { id: request.id });
      announce(t("requests.cancelled"));
      await reload();
    },
  });
}

function Running() {
  const view = useView("ListRequests", { limit: MOST_RUNNING }, { every: 1 });
  const columns = [
    { id: "model", title: t("route.model"), main: true, cell: (each) => html`<a href=${address(["requests", each.id])}>${each.model}</a><span class="sub mono">${each.id.slice(0, 8)}</span>` },
    { id: "who", title: t("requests.who"), cell: (each) => html`<span>${each.key}<span class="sub">${[each.end_user, each.tag].filter(Boolean).join(" · ")}</span></span>` },
    { id: "state", title: t("key.state"), cell: (each) => html`<${RunningState} request=${each} />` },
    { id: "target", title: t("usage.target"), cell: (each) => html`<span>${each.target_id || "–"}${num(each.attempt) > 1 && html`<span class="sub">${t("requests.attempt", { n: each.attempt })}</span>`}</span>` },
    { id: "elapsed", title: t("requests.elapsed"), number: true, sort: (each) => num(each.elapsed_us), cell: (each) => duration(num(each.elapsed_us) / 1000) },
    { id: "tokens", title: t("usage.tokens"), number: true, sort: (each) => num(each.events), cell: (each) => count(each.events) },
    { id: "actions", title: "", cell: (each) => html`<div class="row"><button type="button" class="button danger small" aria-label=${`${t("requests.cancel")}: ${each.id}`} onClick=${() => cancel(each, view.reload)}>${t("requests.cancel")}</button></div>` },
  ];
  const empty = html`
    <${Empty} icon="requests" title=${t("requests.none")} action=${html`<a class="button" href=${address(["requests"], { show: "finished" })}>${t("requests.finished")}</a>`}>
      <p>${t("requests.none_text")}</p>
    <//>
  `;
  return html`
    <${Loaded} view=${view}>
      ${(data) => html`
        ${data.silent?.length > 0 && html`<${Notice} tone="warn">${t("requests.silent", { who: data.silent.join(", ") })}<//>`}
        <p class="muted count" role="status">${t("requests.counted", { running: count(data.running), queued: count(data.queued) })}</p>
        <${Table} label=${t("requests.running")} columns=${columns} rows=${data.requests ?? []} rowKey=${(each) => each.id} empty=${empty} />
      `}
    <//>
  `;
}

const RunningState = ({ request }) =>
  request.state === "REQUEST_STATE_QUEUED"
    ? html`<span><${Badge} tone="warn">${t("requests.queued")}<//>${num(request.position) > 0 && html`<span class="sub">${t("requests.position", { n: request.position })}</span>`}</span>`
    : html`<${Badge} tone="ok">${request.stream ? t("requests.streaming") : t("requests.running_one")}<//>`;

function Finished({ query }) {
  const { id = "", model = "", key = "", tag = "" } = query;
  const status = oneOf(query.status, STATUSES);
  const request = { id, status, page_size: PAGE, filter: { model, key_id: key, tag } };
  const view = useView("SearchRequests", request);
  const field = (name, value) => html`
    <${TextField} label=${t(`requests.by_${name}`)} value=${value} type="search" placeholder=${t("usage.all")} onValue=${() => {}}
      onChange=${(event) => refine({ [name]: event.currentTarget.value.trim() })} />
  `;
  return html`
    <div class="filters">
      ${field("id", id)} ${field("model", model)} ${field("key", key)} ${field("tag", tag)}
      <${SelectField} label=${t("key.state")} value=${status} onValue=${(next) => refine({ status: next })}
        options=${STATUSES.map((each) => [each, each ? (/\d/.test(each) ? each : t(`requests.status.${each}`)) : t("audit.all")])} />
    </div>
    <${Loaded} view=${view}>${(data) => html`<${Found} key=${JSON.stringify(request)} first=${data} request=${request} />`}<//>
  `;
}

function Found({ first, request }) {
  const [more, setMore] = useState({ rows: /** @type {any[]} */ ([]), token: first.next_page_token ?? "", since: num(first.searched_since_us) });
  const next = async () => {
    const answer = await call("SearchRequests", { ...request, page_token: more.token });
    setMore({ rows: [...more.rows, ...(answer.requests ?? [])], token: answer.next_page_token ?? "", since: num(answer.searched_since_us) });
  };
  const columns = [
    { id: "when", title: t("usage.when"), main: true, cell: ({ record }) => html`<a href=${address(["requests", record.id])} title=${moment(num(record.started_at_us) / 1000)}>${dated(num(record.started_at_us) / 1000)}</a><span class="sub mono">${record.id.slice(0, 8)}</span>` },
    { id: "model", title: t("route.model"), cell: ({ record }) => html`<span>${record.model}<span class="sub">${record.target_id}</span></span>` },
    { id: "who", title: t("requests.who"), cell: (each) => html`<span>${each.key}<span class="sub">${[each.record.end_user, each.record.tag].filter(Boolean).join(" · ")}</span></span>` },
    { id: "status", title: t("key.state"), cell: ({ record }) => html`<${Status} record=${record} />` },
    { id: "tokens", title: t("usage.tokens"), number: true, cell: ({ record }) => `${count(record.prompt_tokens)} + ${count(record.completion_tokens)}` },
    { id: "took", title: t("usage.took"), number: true, cell: ({ record }) => html`<span>${duration(num(record.duration_us) / 1000)}<span class="sub">${duration(num(record.first_byte_us) / 1000)}</span></span>` },
    { id: "cost", title: t("usage.cost"), number: true, cell: ({ record }) => nano(record.cost_nano_usd) },
  ];
  const rows = [...(first.requests ?? []), ...more.rows];
  const searched = more.token && t("requests.searched_since", { time: moment(more.since / 1000) });
  const empty = searched
    ? html`<${Empty} icon="requests" title=${t("requests.not_found_yet")}><p>${searched}</p><//>`
    : html`<${Empty} icon="requests" title=${t("requests.not_found")}><p>${t("requests.not_found_text")}</p><//>`;
  return html`
    <${Table} label=${t("requests.finished")} columns=${columns} rows=${rows} rowKey=${({ record }) => `${record.id} ${record.started_at_us}`} empty=${empty} />
    ${more.token && html`<div class="after">${rows.length > 0 && html`<p class="muted">${searched}</p>`}<${Button} onClick=${next}>${t("audit.more")}<//></div>`}
  `;
}

/** How a request ended. */
export function Status({ record }) {
  const status = num(record.status);
  const tone = status >= 500 || !status ? "bad" : status >= 400 ? "warn" : "ok";
  return html`
    <span class="limits">
      <${Badge} tone=${tone}>${status || t("requests.status.failed")}<//>
      ${num(record.attempts) > 1 && html`<${Badge} tone="info">${t("requests.attempts", { n: num(record.attempts) })}<//>`}
      ${record.cache_hit && html`<${Badge} tone="info">${t("requests.hit")}<//>`}
      ${record.estimated && html`<${Badge}>${t("requests.estimated")}<//>`}
    </span>
  `;
}

