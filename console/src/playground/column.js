// One model's column of the conversation, with the time and cost of each answer.
import { html } from "../html.js";
import { count, duration, num, usd } from "../format.js";
import { t } from "../i18n.js";
import { address } from "../router.js";
import { IconButton, SelectField } from "../ui/controls.js";
import { Badge } from "../ui/feedback.js";
import { cost } from "./ask.js";

/**
 * @typedef {{id: number, model: string, target: string, turns: Turn[]}} Side `target`: the only one that answers; empty: any
 * @typedef {{prompt: string, images: string[], answer: import("./ask.js").Answer, error: string, details?: string[], running: boolean}} Turn
 */

/**
 * @param {{side: Side, models: string[], targets: string[], prices: Map<string, any>, onModel: (model: string) => void,
 *   onTarget: (target: string) => void, onRemove?: () => void}} props
 */
export const Column = ({ side, models, targets, prices, onModel, onTarget, onRemove }) => html`
  <section class="card column" aria-label=${[side.model, side.target].filter(Boolean).join(", ")}>
    <div class="column-head">
      <${SelectField} label=${t("playground.model")} value=${side.model} onValue=${onModel} options=${models.map((each) => [each, each])} />
      ${onRemove && html`<${IconButton} icon="close" label=${t("playground.remove")} onClick=${onRemove} />`}
    </div>
    ${targets.length > 0 &&
    html`<${SelectField} label=${t("playground.target")} value=${side.target} onValue=${onTarget}
      options=${[["", t("playground.any_target")], ...targets.map((each) => [each, each])]} />`}
    <div class="turns">
      ${side.turns.map((turn) => html`<${Exchange} turn=${turn} prices=${prices} />`)}
      ${!side.turns.length && html`<p class="muted">${t("playground.nothing")}</p>`}
    </div>
  </section>
`;

const Exchange = ({ turn, prices }) => html`
  <div class="turn user">
    ${turn.images.map((each) => html`<img src=${each} alt=${t("playground.image")} />`)}
    <p class="said">${turn.prompt}</p>
  </div>
  <div class="turn" aria-busy=${turn.running ? "true" : "false"}>
    ${turn.answer.reasoning && html`<details><summary>${t("playground.reasoning")}</summary><p class="said muted">${turn.answer.reasoning}</p></details>`}
    <p class="said" aria-live="polite">${turn.answer.text}${turn.running && html`<span class="caret" aria-hidden="true"></span>`}</p>
    ${turn.answer.tools.map((each) => html`<div class="tool"><${Badge} tone="info">${each.name}<//><code>${each.arguments}</code></div>`)}
    ${turn.error &&
    html`<div class="form-error" role="alert"><p class="said">${turn.error}</p>
      ${turn.details?.length && html`<p class="mono broken-words">${turn.details.join(" · ")}</p>`}</div>`}
    <${Took} answer=${turn.answer} running=${turn.running} prices=${prices} />
  </div>
`;

function Took({ answer, running, prices }) {
  if (!answer.first && (!answer.request || running)) return null;
  const tokens = num(answer.usage?.completion_tokens);
  const speed = tokens && answer.total > answer.first ? (1000 * tokens) / (answer.total - answer.first) : 0;
  const price = cost(answer.usage, prices.get(answer.target));
  const figures = [
    ["ttft", answer.first && duration(answer.first)],
    ["total", duration(answer.total)],
    ["tokens", tokens ? `${count(answer.usage.prompt_tokens)} + ${count(tokens)}` : ""],
    ["speed", speed && !running ? t("unit.tps", { n: count(Math.round(speed)) }) : ""],
    ["cost", price === null ? "" : usd(price)],
    ["target", answer.target],
    ["attempts", num(answer.attempts) > 1 ? answer.attempts : ""],
  ];
  return html`
    <dl class="took">
      ${figures.filter(([, value]) => value).map(([id, value]) => html`<div><dt>${t(`playground.${id}`)}</dt><dd>${value}</dd></div>`)}
      ${answer.request && !running && html`<div><a href=${address(["requests", answer.request])}>${t("playground.request")}</a></div>`}
    </dl>
  `;
}
