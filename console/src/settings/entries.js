// A list of named entries of one section, each with a dialog of its own; and rows of fields within such a dialog.
import { html, useState } from "../html.js";
import { t } from "../i18n.js";
import { Button, IconButton } from "../ui/controls.js";
import { confirm } from "../ui/dialog.js";

/**
 * @param {{items: any[], onItems: (items: any[]) => Promise<void>, isFixed: boolean, about: (item: any) => any,
 *   texts: {none: string, add: string, removeTitle: (name: string) => string, removeText: string},
 *   editor: (props: {item: any, onClose: () => void, onSend: (item: any) => Promise<void>}) => any}} props
 *   `onItems` stores the changed list. `about` returns the text after an entry's name. `editor` returns the dialog for
 *   an entry, or for a new one.
 */
export function Entries({ items, onItems, isFixed, about, texts, editor }) {
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const remove = (index) =>
    confirm({
      title: texts.removeTitle(items[index].name),
      text: texts.removeText,
      action: t("form.remove"),
      work: () => onItems(items.filter((_, each) => each !== index)),
    });
  const store = async (item) => {
    await onItems(at !== null && at < items.length ? items.map((each, index) => (index === at ? item : each)) : [...items, item]);
    setAt(null);
  };
  return html`
    <ul class="plain-list after">
      ${items.map(
        (each, index) => html`
          <li class="row" key=${each.name}>
            <strong>${each.title || each.name}</strong>
            <span class="muted mono broken-words">${each.issuer}</span>
            ${about(each)}
            ${!isFixed &&
            html`
              <button type="button" class="button quiet small" aria-label=${`${t("form.edit")}: ${each.name}`} onClick=${() => setAt(index)}>${t("form.edit")}</button>
              <button type="button" class="button danger small" aria-label=${`${t("form.remove")}: ${each.name}`} onClick=${() => remove(index)}>${t("form.remove")}</button>
            `}
          </li>
        `,
      )}
    </ul>
    ${!items.length && html`<p class="muted">${texts.none}</p>`}
    ${!isFixed && html`<div class="after"><${Button} icon="plus" onClick=${() => setAt(items.length)}>${texts.add}<//></div>`}
    ${at !== null && editor({ item: items[at], onClose: () => setAt(null), onSend: store })}
  `;
}

/**
 * Rows of fields that can be added and removed.
 * @param {{title?: string, hint?: string, rows: any[], onRows: (rows: any[]) => void, fresh: any, class: string, add: string,
 *   removeLabel: (row: any, index: number) => string, least?: number,
 *   children: (row: any, change: (changes: any) => void) => any}} props `fresh` is a new row; at least `least` rows stay.
 */
export const Rows = ({ title, hint, rows, onRows, fresh, class: className, add, removeLabel, least = 0, children }) => html`
  <fieldset class="stack">
    ${title && html`<legend><strong>${title}</strong></legend>`}
    ${hint && html`<p class="hint">${hint}</p>`}
    ${rows.map(
      (row, index) => html`
        <div class=${className} key=${index}>
          ${children(row, (changes) => onRows(rows.map((each, at) => (at === index ? { ...each, ...changes } : each))))}
          ${rows.length > least && html`<${IconButton} icon="close" label=${removeLabel(row, index)} onClick=${() => onRows(rows.filter((_, at) => at !== index))} />`}
        </div>
      `,
    )}
    <div><${Button} icon="plus" onClick=${() => onRows([...rows, fresh])}>${add}<//></div>
  </fieldset>
`;
