// One request explained: every attempt, why it moved on, its cost, and the cost at the other targets.
import { html, useEffect, useState } from "../html.js";
import { clock, count, day, duration, nano, num } from "../format.js";
import { reason, t } from "../i18n.js";
import { address } from "../router.js";
import { useSettling } from "../settling.js";
import { useView } from "../view.js";
import { Button } from "../ui/controls.js";
import { Badge, Loaded, Skeleton } from "../ui/feedback.js";
import { Card, Figure, Page } from "../ui/page.js";
import { Table } from "../ui/table.js";

/** A request that has just ended has its record a moment later: it is looked for this many times, once a second. */
const MOST_LOOKS = 5;

/** @param {{id: string, onCancel: (request: any, reload: () => Promise<void>) => void}} props */
export function Explained({ id, onCancel }) {
  const view = useView("GetRequest", { id });
  const [looks, setLooks] = useState(1);
  const isAwaited = !view.data && view.error?.code === "not_found" && looks < MOST_LOOKS;
  useSettling(isAwaited);
  useEffect(() => {
    if (!isAwaited || view.busy) return undefined;
    const timer = setTimeout(() => {
      setLooks(looks + 1);
      view.reload();
    }, 1_000);
    return () => clearTimeout(timer);
  }, [isAwaited, view.busy, looks]);
  const { running } = view.data ?? {};
  const actions = html`
    ${running && html`<${Button} kind="danger" onClick=${() => onCancel(running, view.reload)}>${t("requests.cancel")}<//>`}
    <${Button} icon="refresh" onClick=${view.reload}>${t("requests.again")}<//>
  `;
  return html`
    <p><a href=${address(["requests"], { show: "finished" })}>${t("nav.requests")}</a></p>
    <${Page} title=${t("requests.one")} lead=${html`<span class="mono broken-words">${id}</span>`} actions=${actions}>
      ${isAwaited ? html`<${Skeleton} lines=${6} />` : html`<${Loaded} view=${view}>${(data) => html`<${Shown} data=${data} />`}<//>`}
    <//>
  `;
}

function Shown({ data }) {
  const { running, finished, attempts = [], costs = [] } = data;
  const record = finished?.record ?? running ?? {};
  const owner = finished ?? running ?? {};
  return html`
    <${Card}>
      <dl class="figures">
        <${Figure} label=${t("route.model")} value=${record.model} note=${record.target_id} />
        <${Figure} label=${t("requests.who")} value=${owner.key} note=${[record.end_user, record.tag].filter(Boolean).join(" · ")} />
        <${Figure} label=${t("usage.when")} value=${clock(num(record.started_at_us) / 1000)} note=${day(num(record.started_at_us) / 1000)} />
        ${finished ? html`<${Ended} record=${record} />` : html`<${Figure} label=${t("requests.elapsed")} value=${duration(num(record.elapsed_us) / 1000)} />`}
      </dl>
    <//>
    <${Card} title=${t("requests.way")}>
      <ol class="way">
        ${attempts.map((each, index) => html`<${Attempt} attempt=${each} last=${index === attempts.length - 1} ended=${Boolean(finished)} />`)}
        ${!attempts.length && html`<li class="muted">${t("requests.no_attempts")}</li>`}
      </ol>
    <//>
    ${costs.length > 0 && html`<${Card} title=${t("requests.costs")}><${Costs} costs=${costs} /><//>`}
  `;
}

const Ended = ({ record }) => html`
  <${Figure} label=${t("key.state")} value=${record.status || t("requests.status.failed")} note=${record.response_flags} />
  <${Figure} label=${t("usage.took")} value=${duration(num(record.duration_us) / 1000)} note=${t("requests.first_byte", { time: duration(num(record.first_byte_us) / 1000) })} />
  <${Figure} label=${t("usage.tokens")} value=${`${count(record.prompt_tokens)} + ${count(record.completion_tokens)}`} note=${num(record.cached_tokens) ? t("requests.cached", { n: count(record.cached_tokens) }) : ""} />
  <${Figure} label=${t("usage.cost")} value=${nano(record.cost_nano_usd)} note=${record.cache_hit ? t("requests.saved", { money: nano(record.saved_nano_usd) }) : ""} />
`;

function Attempt({ attempt, last, ended }) {
  const isWell = last && num(attempt.status) >= 200 && num(attempt.status) < 400;
  const tone = isWell ? "ok" : last && !ended ? "info" : "bad";
  return html`
    <li>
      <div class="row">
        <strong class="broken-words">${attempt.target_id}</strong>
        <${Badge} tone=${tone}>${attempt.status || (last && !ended ? t("requests.running_one") : t("requests.no_answer"))}<//>
        ${num(attempt.credential) > 0 && html`<${Badge}>${t("requests.credential", { n: attempt.credential })}<//>`}
        ${num(attempt.duration_us) > 0 && html`<span class="muted">${duration(num(attempt.duration_us) / 1000)}</span>`}
      </div>
      <p class="muted">${reason(attempt.outcome_code, attempt.outcome)}</p>
    </li>
  `;
}

function Costs({ costs }) {
  const columns = [
    { id: "target", title: t("usage.target"), main: true, cell: (each) => html`${each.target_id} ${each.served && html`<${Badge} tone="ok">${t("requests.served")}<//>`}` },
    { id: "cost", title: t("usage.cost"), number: true, sort: (each) => num(each.cost_nano_usd), cell: (each) => (each.price_version ? nano(each.cost_nano_usd) : t("models.no_price")) },
  ];
  return html`<${Table} label=${t("requests.costs")} columns=${columns} rows=${costs} rowKey=${(each) => each.target_id} initial="cost" />`;
}
