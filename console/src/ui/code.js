// Text to copy: commands, snippets, secrets.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { announce } from "./feedback.js";
import { Icon } from "./icons.js";

/** @param {string} text */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // a page without TLS has no clipboard
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error(t("copy.failed"));
  return undefined;
}

/** @param {{text: string, label?: string, kind?: string}} props `label`: what is copied, for its name */
export function Copy({ text, label, kind = "quiet" }) {
  const [done, setDone] = useState(false);
  const take = async () => {
    try {
      await copy(text);
      setDone(true);
      announce(t("copy.done"));
      setTimeout(() => setDone(false), 2_000);
    } catch {
      announce(t("copy.failed"), "bad");
    }
  };
  return html`
    <button type="button" class=${`button copy ${kind}`} onClick=${take} aria-label=${label ?? t("copy.action")}>
      <${Icon} name=${done ? "check" : "copy"} /><span>${t("copy.action")}</span>
    </button>
  `;
}

/** A block of code with a button that copies it. @param {{text: string, label?: string}} props */
export const Code = ({ text, label }) => html`
  <div class="code">
    <pre tabindex="0" aria-label=${label ?? t("code.label")}><code>${text}</code></pre>
    <${Copy} text=${text} />
  </div>
`;

/** A secret that is shown only once. @param {{value: string, label: string}} props */
export const Secret = ({ value, label }) => html`
  <div class="secret">
    <code>${value}</code>
    <${Copy} text=${value} label=${t("copy.of", { what: label })} kind="primary" />
  </div>
`;
