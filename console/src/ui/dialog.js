// Dialogs, based on the browser's own, which traps and restores the focus.
import { html, signal, useId, useLayoutEffect, useRef } from "../html.js";
import { t } from "../i18n.js";
import { Form, IconButton } from "./controls.js";

/** @param {{title: string, onClose: () => void, wide?: boolean, children?: any}} props */
export function Dialog({ title, onClose, wide = false, children }) {
  const id = useId();
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  // Opens before the next paint, so that no key press arrives before the dialog is open.
  useLayoutEffect(() => {
    dialog.current?.showModal();
    // Otherwise the first element, which closes the dialog, has the focus.
    const field = dialog.current?.querySelector(".dialog-body :is(input, select, textarea):enabled");
    /** @type {HTMLElement | null | undefined} */ (field)?.focus();
  }, []);
  return html`
    <dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${onClose}>
      <header>
        <h2 id=${id}>${title}</h2>
        <${IconButton} icon="close" label=${t("form.close")} onClick=${() => dialog.current?.close()} />
      </header>
      <div class="dialog-body">${children}</div>
    </dialog>
  `;
}

const asked = signal(/** @type {any} */ (null));

/**
 * Asks for confirmation of an irreversible action. The dialog awaits `work` and shows what it throws.
 * @param {{title: string, text: any, action: string, danger?: boolean, work: () => Promise<any>}} question
 */
export function confirm(question) {
  asked.value = question;
}

/** The place where `confirm` shows its dialog; used once per page. */
export function Confirmation() {
  const question = asked.value;
  if (!question) return null;
  const close = () => (asked.value = null);
  const send = async () => {
    await question.work();
    close();
  };
  return html`
    <${Dialog} title=${question.title} onClose=${close}>
      <${Form} onSend=${send} action=${question.action} danger=${question.danger ?? true} onCancel=${close}>
        <p>${question.text}</p>
      <//>
    <//>
  `;
}
