// The current location: `#/keys?org=acme`. The part after the hash is never sent to a server.
import { computed, signal } from "./html.js";

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));

/** `{path: ["models", "gpt-4.1"], query: {org: "acme"}}` */
export const place = computed(() => {
  const [path, query] = hash.value.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query)) };
});

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Returns `value`, which comes from an address, if it is one of the options, otherwise the first option.
 * @param {string | undefined} value @param {string[]} options */
export const oneOf = (value, options) => (value !== undefined && options.includes(value) ? value : options[0]);

/** The address of a view. @param {string[]} path @param {Record<string, string>} [query] empty values are left out */
export function address(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value);
  const search = pairs.length ? `?${new URLSearchParams(pairs)}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${search}`;
}

/** @param {string[]} path @param {Record<string, string>} [query] */
export function go(path, query) {
  location.hash = address(path, query);
}

/** Changes the query of the current view, without a new entry in the history. @param {Record<string, string>} changes */
export function refine(changes) {
  const { path, query } = place.value;
  history.replaceState(null, "", address(path, { ...query, ...changes }));
  hash.value = location.hash;
}
