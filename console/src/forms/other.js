// The fields of a message for which its form has no control of its own, by what is generated from the .proto files.
// A new field appears here by its name in the API; texts `field.NAME` and `field.about.NAME` give it better words.
import { FIELDS, MEMBERS } from "../generated/fields.js";
import { html } from "../html.js";
import { language, t, word } from "../i18n.js";
import { CheckField, SelectField, TextField } from "../ui/controls.js";

/** A member in plain words if it has no text: `own first` of STRATEGY_OWN_FIRST. @param {string} kind @param {string} member */
export const plain = (kind, member) =>
  member.slice(kind.replace(/\B[A-Z]/g, "_$&").length + 1).toLowerCase().replaceAll("_", " ");

/** A field's label. @param {string} name */
export const fieldText = (name) => word(`field.${name}`, name);

/** Names of the fields that are not in `shown`, the object that the form makes. @param {string} message a key of FIELDS @param {object} shown */
export const otherFields = (message, shown) => Object.keys(FIELDS[message]).filter((name) => !(name in shown));

/**
 * A control for each of these fields; `values` has them as they are sent.
 * @param {{message: string, names: string[], values: Record<string, any>, onValues: (next: Record<string, any>) => void}} props
 */
export const OtherFields = ({ message, names, values, onValues }) =>
  names.map((name) => {
    const [kind, comment] = FIELDS[message][name];
    const common = {
      label: fieldText(name),
      // Comments are in English.
      hint: word(`field.about.${name}`, language.value === "en" ? comment : ""),
      onValue: (value) => onValues({ ...values, [name]: kind === "number" ? Math.round(Number(value) || 0) : value }),
    };
    const value = values[name];
    if (kind === "boolean") return html`<${CheckField} key=${name} checked=${value ?? false} ...${common} />`;
    if (kind in MEMBERS) {
      const options = [["", t("route.default")], ...MEMBERS[kind].map((each) => [each, plain(kind, each)])];
      return html`<${SelectField} key=${name} value=${value ?? ""} options=${options} ...${common} />`;
    }
    const text = kind === "number" ? String(Number(value) || "") : value ?? "";
    return html`<${TextField} key=${name} value=${text} inputmode=${kind === "number" ? "numeric" : "text"} placeholder=${t("route.default")} ...${common} />`;
  });
