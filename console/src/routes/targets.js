// The targets of a route: shares, tiers, and the state of each target.
import { html } from "../html.js";
import { count, duration, nano, num, percent } from "../format.js";
import { reason, t } from "../i18n.js";
import { Badge } from "../ui/feedback.js";

/** The target's name in `ExplainedTarget.target_id`. @param {import("../generated/types.d.ts").RouteTarget} target */
export const targetId = (target) => (target.provider ? `${target.provider}/${target.model}` : `nodes/${target.nodes}`);

/** The first tier at a glance: names with their shares. @param {{explained: any}} props */
export function Share({ explained }) {
  const targets = explained.targets ?? [];
  const first = Math.min(...targets.map((each) => num(each.tier)));
  const served = targets.filter((each) => num(each.tier) === first);
  const behind = targets.length - served.length;
  return html`
    <span class="limits">
      ${served.map((each) => html`<${Badge} tone=${each.down ? "bad" : "plain"}>${each.target_id}${served.length > 1 ? ` ${percent(num(each.share_permille) / 1000)}` : ""}<//>`)}
      ${behind > 0 && html`<span class="muted">${t("route.behind", { n: behind })}</span>`}
    </span>
  `;
}

/** The picture: tiers from left to right, in each the targets with their share of it. @param {{explained: any, rests: any[]}} props */
export function Tiers({ explained, rests }) {
  const written = new Map((explained.route.targets ?? []).map((each) => [targetId(each), each]));
  const tiers = new Map();
  for (const each of explained.targets ?? []) tiers.set(num(each.tier), [...(tiers.get(num(each.tier)) ?? []), each]);
  const numbers = [...tiers.keys()].sort((a, b) => a - b);
  if (!numbers.length) return html`<p class="muted">${t("models.no_targets")}</p>`;
  return html`
    <ol class="tiers">
      ${numbers.map(
        (number, index) => html`
          <li>
            <h3>${index ? t("route.then", { n: index }) : t("route.first")}</h3>
            ${tiers.get(number).map((each) => html`<${Target} target=${each} written=${written.get(each.target_id)} rests=${rests.filter((rest) => isAbout(rest, each.target_id))} />`)}
          </li>
        `,
      )}
    </ol>
  `;
}

/** Returns whether a rest concerns a target, one of its credentials (`a/m#2`), or its whole provider. */
export const isAbout = ({ subject = "" }, id) => [id, id.split("/")[0]].includes(subject.split("#")[0]);

function Target({ target, written, rests }) {
  const share = num(target.share_permille) / 1000;
  const speed = num(target.millitokens_per_second) / 1000;
  const figures = [
    ["first_byte", num(target.first_byte_us) ? duration(num(target.first_byte_us) / 1000) : ""],
    ["speed", speed ? t("unit.tps", { n: count(Math.round(speed)) }) : ""],
    ["cost", num(target.cost_nano_usd) ? nano(target.cost_nano_usd) : ""],
    ["cached", num(target.cached_permille) ? percent(num(target.cached_permille) / 1000) : ""],
    ["errors", num(target.error_permille) ? percent(num(target.error_permille) / 1000) : ""],
    ["limited", num(target.limit_permille) ? percent(num(target.limit_permille) / 1000) : ""],
    ["context", num(written?.context) ? count(written.context) : ""],
  ];
  return html`
    <div class=${`target ${target.down ? "down" : ""} ${written?.paused ? "paused" : ""}`}>
      <div class="row"><strong class="broken-words">${target.target_id}</strong><${Condition} target=${target} written=${written} /></div>
      <div class="meter" role="img" aria-label=${t("route.share", { share: percent(share) })}><span style=${{ width: `${100 * share}%` }}></span></div>
      <p class="sub">${t("route.share", { share: percent(share) })}${target.reason && ` · ${reason(target.reason_code, target.reason)}`}</p>
      <dl class="took">
        ${figures.filter(([, value]) => value).map(([id, value]) => html`<div><dt>${t(`target.${id}`)}</dt><dd>${value}</dd></div>`)}
      </dl>
      ${rests.map((each) => html`<p class="sub"><${Badge} tone="warn">${t("target.rests")}<//> ${reason(each.reason_code, each.reason)}</p>`)}
      ${(target.credentials ?? []).length > 1 && html`<${Credentials} credentials=${target.credentials} />`}
    </div>
  `;
}

function Condition({ target, written }) {
  if (written?.paused) return html`<${Badge}>${t("target.paused")}<//>`;
  if (target.down) return html`<${Badge} tone="bad">${t("target.down")}<//>`;
  return num(target.attempts) ? html`<${Badge} tone="ok">${t("target.well")}<//>` : html`<${Badge}>${t("target.unmeasured")}<//>`;
}

const Credentials = ({ credentials }) => html`
  <details>
    <summary>${t("target.credentials", { n: credentials.length })}</summary>
    <ul class="plain-list">
      ${credentials.map(
        (each) => html`<li>${t("target.credential", { n: num(each.index) + 1, attempts: count(each.attempts), errors: percent(num(each.error_permille) / 1000) })}</li>`,
      )}
    </ul>
  </details>
`;
