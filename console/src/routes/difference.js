// The difference of a change, field by field.
import { html } from "../html.js";
import { t, word } from "../i18n.js";
import { Notice } from "../ui/feedback.js";

/** @param {{changes: import("../generated/types.d.ts").Change[]}} props */
export const Difference = ({ changes }) =>
  changes.length
    ? html`${changes.map(
        (change) => html`
          <h3>${t(`change.${change.kind ?? "KIND_UPDATE"}`, { what: `${word(`object.${change.object_type}`, change.object_type ?? "")} ${change.object_name}` })}</h3>
          <${Fields} fields=${change.fields ?? []} />
        `,
      )}`
    : html`<${Notice} tone="info">${t("change.nothing")}<//>`;

/** @param {{fields: {field?: string, before?: string, after?: string}[]}} props `before` and `after` are JSON */
export const Fields = ({ fields }) => html`
  <dl class="difference">
    ${fields.map(
      ({ field, before, after }) => html`
        <div>
          <dt>${field}</dt>
          ${before && html`<dd class="gone"><span class="unseen">${t("change.before")}</span><code>${before}</code></dd>`}
          ${after && html`<dd class="new"><span class="unseen">${t("change.after")}</span><code>${after}</code></dd>`}
        </div>
      `,
    )}
  </dl>
`;
