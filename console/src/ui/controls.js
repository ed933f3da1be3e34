// Buttons and form fields. Every field has a label; screen readers read its hint and error with it.
import { html, useId, useRef, useState } from "../html.js";
import { t } from "../i18n.js";
import { Icon } from "./icons.js";

/**
 * @param {{kind?: "primary" | "plain" | "danger" | "quiet", icon?: any, busy?: boolean, children?: any} & Record<string, any>} props
 */
export function Button({ kind = "plain", icon, busy = false, children, ...rest }) {
  return html`
    <button type="button" class=${`button ${kind}`} aria-busy=${busy} disabled=${busy || rest.disabled} ...${rest}>
      ${icon && html`<${Icon} name=${icon} />`}<span>${children}</span>
    </button>
  `;
}

/** A button that shows only its icon; `label` is its name. */
export const IconButton = ({ icon, label, ...rest }) => html`
  <button type="button" class="button quiet icon-only" aria-label=${label} title=${label} ...${rest}>
    <${Icon} name=${icon} />
  </button>
`;

/**
 * A label with a control, which `children(attributes)` creates.
 * @param {{label: string, hint?: any, error?: string, optional?: boolean, children: (attributes: Record<string, any>) => any}} props
 */
export function Field({ label, hint, error, optional = false, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const attributes = { id, "aria-describedby": described || undefined, "aria-invalid": error ? "true" : undefined };
  return html`
    <div class="field">
      <label for=${id}>${label}${optional && html`<span class="optional"> ${t("form.optional")}</span>`}</label>
      ${children(attributes)}
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
      ${error && html`<p class="field-error" id=${`${id}-error`}>${error}</p>`}
    </div>
  `;
}

/** A single-line field. Calls `onValue` with its text. */
export const TextField = ({ label, hint, error, optional, value, onValue, type = "text", suggestions, ...rest }) => html`
  <${Field} label=${label} hint=${hint} error=${error} optional=${optional}>
    ${(attributes) => html`
      <input
        type=${type}
        value=${value}
        autocomplete="off"
        spellcheck=${false}
        list=${suggestions ? `${attributes.id}-list` : undefined}
        onInput=${(event) => onValue(event.currentTarget.value)}
        ...${attributes}
        ...${rest}
      />
      ${suggestions &&
      html`<datalist id=${`${attributes.id}-list`}>${suggestions.map((each) => html`<option value=${each} />`)}</datalist>`}
    `}
  <//>
`;

/** A drop-down list. `options` are `[value, text]`. */
export const SelectField = ({ label, hint, error, optional, value, onValue, options, ...rest }) => html`
  <${Field} label=${label} hint=${hint} error=${error} optional=${optional}>
    ${(attributes) => html`
      <select value=${value} onChange=${(event) => onValue(event.currentTarget.value)} ...${attributes} ...${rest}>
        ${options.map(([each, text]) => html`<option value=${each} selected=${each === value}>${text}</option>`)}
      </select>
    `}
  <//>
`;

export function CheckField({ label, hint, checked, onValue, ...rest }) {
  const id = useId();
  return html`
    <div class="field check">
      <input id=${id} type="checkbox" checked=${checked} onChange=${(event) => onValue(event.currentTarget.checked)}
        aria-describedby=${hint ? `${id}-hint` : undefined} ...${rest} />
      <label for=${id}>${label}</label>
      ${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}
    </div>
  `;
}

/** A group of radio buttons. `options` are `[value, text]`. */
export function Segmented({ label, value, onValue, options }) {
  const name = useId();
  return html`
    <fieldset class="segmented">
      <legend class="unseen">${label}</legend>
      ${options.map(
        ([each, text]) => html`
          <label class=${each === value ? "chosen" : ""}>
            <input type="radio" name=${name} value=${each} checked=${each === value} onChange=${() => onValue(each)} />
            <span>${text}</span>
          </label>
        `,
      )}
    </fieldset>
  `;
}

/** Tabs with panels. `tabs` are `[id, text]`; `children(id)` returns the panel. */
export function Tabs({ label, tabs, value, onValue, children }) {
  const id = useId();
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = tabs.findIndex(([each]) => each === value);
    const next = (at + step + tabs.length) % tabs.length;
    onValue(tabs[next][0]);
    /** @type {HTMLElement} */ (list.current?.children[next])?.focus();
  };
  return html`
    <div class="tabs" role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map(
        ([each, text]) => html`
          <button type="button" role="tab" id=${`${id}-${each}`} aria-selected=${each === value ? "true" : "false"}
            aria-controls=${`${id}-panel`} tabindex=${each === value ? 0 : -1} onClick=${() => onValue(each)}>${text}</button>
        `,
      )}
    </div>
    <div class="tab-panel" role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${value}`}>${children(value)}</div>
  `;
}

/**
 * A form that shows errors in place. It awaits `onSend` and shows its error, next to the field
 * that `error.param` names if `fields` has it, or below.
 */
export function Form({ onSend, action, danger = false, children, onCancel, disabled = false }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onSend();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return html`
    <form onSubmit=${send} novalidate>
      ${children}
      ${error && html`<p class="form-error" role="alert">${error.message}</p>`}
      <div class="form-actions">
        ${onCancel && html`<${Button} onClick=${onCancel}>${t("form.cancel")}<//>`}
        <${Button} kind=${danger ? "danger" : "primary"} type="submit" busy=${busy} disabled=${disabled}>${action}<//>
      </div>
    </form>
  `;
}
