// What tells how things are: badges, notices, empty and failed views, and messages that pass.
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
    <${Icon} name=${tone === "ok" ? "check" : "warning"} />
    <div>${title && html`<strong>${title}</strong>`}${children && html`<div>${children}</div>`}</div>
  </div>
`;

/** Nothing is here yet: what that means, and what to do next. */
export const Empty = ({ icon, title, children, action }) => html`
  <div class="empty">
    <${Icon} name=${icon} />
    <h2>${title}</h2>
    <div class="empty-text">${children}</div>
    ${action}
  </div>
`;

/** What went wrong, in words of the console where there are some, and in the gateway's. */
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

/** Takes the place of what is not there yet. */
export function Skeleton({ lines = 4 }) {
  useSettling(true);
  return html`
    <div class="skeleton" role="status" aria-label=${t("loading")}>
      ${Array.from({ length: lines }, () => html`<span></span>`)}
    </div>
  `;
}

/** Shows a view's content, or why there is none. `children(data)` is called with the answer. */
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

/** Where `announce` is shown; there once. */
export const Announcements = () => html`
  <div class="announcements" role="status" aria-live="polite">
    ${messages.value.map(({ id, text, tone }) => html`<div key=${id} class=${`announcement ${tone}`}>${text}</div>`)}
  </div>
`;

/** What became of a change at the running Envoys and translators. @param {any} propagation */
export function announceChange(text, propagation) {
  const refused = propagation?.rejections?.length ?? 0;
  if (refused) announce(t("change.refused", { reason: propagation.rejections[0].reason }), "bad");
  else announce(text);
}
