// The form of one section. Values that a file manages are shown read-only.
import { html } from "../html.js";
import { t } from "../i18n.js";
import { Form } from "../ui/controls.js";

/**
 * @typedef {{gateway: import("../generated/types.d.ts").Gateway, put: (changes: any) => Promise<void>, isFixed: boolean,
 *   data: import("../generated/types.d.ts").GetSettingsViewResponse}} SectionProps
 */

/** @param {{isFixed: boolean, onSend: () => Promise<void>, children?: any}} props */
export const Section = ({ isFixed, onSend, children }) =>
  isFixed
    ? html`<fieldset class="stack" disabled>${children}</fieldset>`
    : html`<${Form} onSend=${onSend} action=${t("form.save")}>${children}<//>`;
