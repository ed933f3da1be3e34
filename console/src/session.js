// Who is signed in. The admin token is kept for this tab alone, and sent as a header.
import { computed, signal } from "./html.js";
import { keep, recall } from "./storage.js";

const token = signal(recall("session", "token"));
/** Why the last session ended, a key of the dictionaries; empty if it did not end by itself. */
export const ended = signal("");
export const signedIn = computed(() => token.value !== "");

/** Headers that say who calls. @returns {Record<string, string>} */
export function credentials() {
  return token.value ? { authorization: `Bearer ${token.value}`, "x-trunkline-actor": "console:admin" } : {};
}

/** Throws ApiError if the token is not the gateway's. @param {string} value */
export async function signInWithToken(value) {
  const { call } = await import("./api.js");
  await call("GetStatus", {}, { headers: { authorization: `Bearer ${value}` } });
  keep("session", "token", value);
  ended.value = "";
  token.value = value;
}

/** @param {string} [why] a key of the dictionaries */
export function signOut(why = "") {
  keep("session", "token", "");
  ended.value = why;
  token.value = "";
}
