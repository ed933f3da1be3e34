// Feedback: badges, notices, empty and failed views, and transient messages.
import { html, signal } from "../html.js";
import { t } from "../i18n.js";
import { useSettling } from "../settling.js";
import { Button } from "./controls.js";
import { Icon } from "./icons.js";

/** @param {{tone?: "ok" | "warn" | "bad" | "info" | "plain", children?: any}} props */
export const Badge = ({ tone = "plain", children }) => html`<span class=${`badge ${tone}`}>${children}</span>`;

/** @param {{tone?: "ok" | "warn" | "bad" | "info", title?: any, children?: any}} props */
export const Notice = ({ tone = "info", title, children }) => html`
  <div class=${`notice ${tone}`}>
    <${Icon} name=${{ ok: "check", info: "help" }[tone] ?? "warning"} />
    <div>${title && html`<strong>${title}</strong>`}${children && html`<div>${children}</div>`}</div>
  </div>
`;

/** An empty view: explains why it is empty, and what to do next. */
export const Empty = ({ icon, title, children, action }) => html`
  <div class="empty">
    <${Icon} name=${icon} />
    <h2>${title}</h2>
    <div class="empty-text">${children}</div>
    ${action}
  </div>
`;

/** An error, with the console's own text if there is one, and the gateway's. */
export function Failure({ error, onRetry }) {
  const known = { unreachable: "error.unreachable", unavailable: "error.unavailable", permission_denied: "error.denied" };
  const title = t(known[error.code] ?? "error.title");
  return html`
    <div class="notice bad" role="alert">
      <${Icon} name="warning" />
      <div>
        <strong>${title}</strong>
        <div class="broken-words">${error.message}</div>
        ${onRetry && html`<${Button} icon="refresh" onClick=${onRetry}>${t("error.retry")}<//>`}
      </div>
    </div>
  `;
}

/** A placeholder for content that is loading. */
export function Skeleton({ lines = 4 }) {
  useSettling(true);
  return html`
    <div class="skeleton" role="status" aria-label=${t("loading")}>
      ${Array.from({ length: lines }, () => html`<span></span>`)}
    </div>
  `;
}

/** Shows a view's content, or the reason for its absence. Calls `children(data)` with the answer. */
export function Loaded({ view, lines = 6, children }) {
  if (view.data) {
    return html`${view.error && html`<${Failure} error=${view.error} onRetry=${view.reload} />`}${children(view.data)}`;
  }
  return view.error
    ? html`<${Failure} error=${view.error} onRetry=${view.reload} />`
    : html`<${Skeleton} lines=${lines} />`;
}

const messages = signal(/** @type {{id: number, text: string, tone: string}[]} */ ([]));
let last = 0;

/** @param {string} text @param {"ok" | "bad"} [tone] */
export function announce(text, tone = "ok") {
  const id = ++last;
  messages.value = [...messages.value, { id, text, tone }];
  setTimeout(() => (messages.value = messages.value.filter((each) => each.id !== id)), 6_000);
}

/** The place where `announce` shows messages; used once per page. */
export const Announcements = () => html`
  <div class="announcements" role="status" aria-live="polite">
    ${messages.value.map(({ id, text, tone }) => html`<div key=${id} class=${`announcement ${tone}`}>${text}</div>`)}
  </div>
`;

/** Shows the outcome of a change at the running Envoys and translators. @param {any} propagation */
export function announceChange(text, propagation) {
  const refused = propagation?.rejections?.length ?? 0;
  if (refused) announce(t("change.refused", { reason: propagation.rejections[0].reason }), "bad");
  else announce(text);
}
