// Tables that become cards on narrow screens.
import { html, useMemo, useState } from "../html.js";
import { t } from "../i18n.js";

const MOST_ROWS = 200;

/**
 * @typedef {{id: string, title: string, cell: (row: any) => any, sort?: (row: any) => string | number,
 *   number?: boolean, main?: boolean}} Column `main`: names the row
 */

/**
 * @param {{label: string, columns: Column[], rows: any[], rowKey: (row: any) => string, search?: (row: any) => string,
 *   onRow?: (row: any) => void, empty?: any, initial?: string}} props `initial`: `cost`, or `-cost` for descending
 */
export function Table({ label, columns, rows, rowKey, search, empty, initial = "" }) {
  const [order, setOrder] = useState(initial);
  const [needle, setNeedle] = useState("");
  const [all, setAll] = useState(false);
  const shown = useMemo(() => {
    const wanted = needle.trim().toLowerCase();
    const found = wanted && search ? rows.filter((row) => search(row).toLowerCase().includes(wanted)) : [...rows];
    const by = columns.find((each) => each.id === order.replace("-", ""))?.sort;
    if (by) {
      const sign = order.startsWith("-") ? -1 : 1;
      found.sort((a, b) => sign * compare(by(a), by(b)));
    }
    return found;
  }, [rows, order, needle]);
  if (!rows.length && empty) return empty;
  const visible = all ? shown : shown.slice(0, MOST_ROWS);
  return html`
    ${search && rows.length > 8 &&
    html`<input class="search" type="search" value=${needle} placeholder=${t("table.search")} aria-label=${t("table.search")}
      onInput=${(event) => setNeedle(event.currentTarget.value)} />`}
    <div class="table-frame" role="region" aria-label=${label} tabindex="0">
      <table>
        <caption class="unseen">${label}</caption>
        <thead>
          <tr>${columns.map((column) => html`<${Heading} column=${column} order=${order} onOrder=${setOrder} />`)}</tr>
        </thead>
        <tbody>
          ${visible.map((row) => html`<tr key=${rowKey(row)}>${columns.map((column) => cell(column, row))}</tr>`)}
        </tbody>
      </table>
      ${!visible.length && html`<p class="none">${t("table.none")}</p>`}
    </div>
    ${visible.length < shown.length &&
    html`<button type="button" class="button quiet" onClick=${() => setAll(true)}>${t("table.all", { n: shown.length })}</button>`}
  `;
}

function cell(column, row) {
  const classes = column.number ? "number" : "";
  return column.main
    ? html`<th scope="row" class=${classes}>${column.cell(row)}</th>`
    : html`<td data-label=${column.title} class=${classes}>${column.cell(row)}</td>`;
}

function Heading({ column, order, onOrder }) {
  const sorted = { [column.id]: "ascending", [`-${column.id}`]: "descending" }[order];
  const next = order === column.id ? `-${column.id}` : column.id;
  if (!column.title) return html`<th scope="col"><span class="unseen">${t("table.actions")}</span></th>`;
  return html`
    <th scope="col" class=${column.number ? "number" : ""} aria-sort=${sorted}>
      ${column.sort
        ? html`<button type="button" onClick=${() => onOrder(next)}>${column.title}<span aria-hidden="true" class="sort"></span></button>`
        : column.title}
    </th>
  `;
}

const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
