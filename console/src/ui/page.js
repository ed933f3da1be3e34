// A page's frame. Its heading takes the focus on navigation, so that a screen reader reads it first.
import { html, useEffect, useRef } from "../html.js";
import { help } from "../help.js";
import { t } from "../i18n.js";
import { place } from "../router.js";
import { signedIn } from "../session.js";
import { Icon } from "./icons.js";

/** True once a page was shown: the first one leaves the focus where the browser has it. */
let moved = false;

/** @param {{title: string, lead?: any, actions?: any, children?: any}} props */
export function Page({ title, lead, actions, children }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    document.title = `${title} · Trunkline`;
  }, [title]);
  useEffect(() => {
    const isFree = document.activeElement === document.body || document.activeElement?.closest(".nav");
    if (moved && isFree) heading.current?.focus();
    moved = true;
  }, []);
  return html`
    <header class="page-head">
      <div>
        <h1 ref=${heading} tabindex="-1">${title}</h1>
        ${lead && html`<p class="lead">${lead}</p>`}
      </div>
      <div class="page-actions">
        ${actions}
        ${signedIn.value && html`<${Help} />`}
      </div>
    </header>
    ${children}
  `;
}

/** A link to the documentation of this page. */
function Help() {
  const where = help(place.value.path[0] ?? "start");
  return (
    where &&
    html`<a class="button quiet icon-only" href=${where} target="_blank" rel="noopener" aria-label=${t("shell.help")} title=${t("shell.help")}><${Icon} name="help" /></a>`
  );
}

/** @param {{title?: any, actions?: any, children?: any, class?: string}} props */
export const Card = ({ title, actions, children, class: classes = "" }) => html`
  <section class=${`card ${classes}`}>
    ${title && html`<header class="card-head"><h2>${title}</h2>${actions}</header>`}
    ${children}
  </section>
`;

/** Characters of a figure from which on it is written smaller. */
const LONG = 9;

/** A number with its label, and its previous value. @param {{label: string, value: any, note?: any}} props */
export const Figure = ({ label, value, note }) => html`
  <div class="figure"><dt>${label}</dt><dd class=${String(value ?? "").length > LONG ? "long" : ""}>${value}</dd>${note && html`<dd class="note">${note}</dd>`}</div>
`;

/** Who manages an object: what a file manages is changed there. @param {string | undefined} manager */
export const isFiles = (manager) => (manager ?? "").startsWith("file:");

/** @param {{manager: string | undefined}} props */
export const Manager = ({ manager }) =>
  isFiles(manager)
    ? html`<span class="badge plain" title=${t("managed.hint")}>${t("managed.file", { name: (manager ?? "").slice(5) })}</span>`
    : null;
