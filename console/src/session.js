// The session: a user with the browser's cookie, which no script can read, or the admin token, which is kept
// only for this tab and sent as a header.
import { batch, computed, signal } from "./html.js";
import { keep, recall } from "./storage.js";

/** @typedef {import("./generated/types.d.ts").GetDoorResponse} Door */

const token = signal(recall("session", "token"));
/** The gateway's last answer; null before the first one. */
export const door = signal(/** @type {Door | null} */ (null));
/** Why the last session ended, a key of the dictionaries; empty if it did not end by itself. */
export const ended = signal("");

export const signedIn = computed(() => Boolean(door.value?.me));
export const user = computed(() => door.value?.me?.user ?? null);
const isMachine = computed(() => Boolean(door.value?.me?.machine));
/** True if all organisations are accessible. */
export const isAdmin = computed(() => isMachine.value || Boolean(user.value?.admin));

const RANKS = ["ROLE_VIEWER", "ROLE_MEMBER", "ROLE_OPERATOR", "ROLE_OWNER"];

/** Returns whether the role is at least this one, in an organisation or in any. @param {string} role @param {string} [organisation] */
export function isAtLeast(role, organisation) {
  if (isAdmin.value) return true;
  const memberships = user.value?.memberships ?? [];
  return memberships.some(
    (each) => (!organisation || each.organisation === organisation) && RANKS.indexOf(each.role ?? "") >= RANKS.indexOf(role),
  );
}

/** Returns headers that identify the caller and this page. @returns {Record<string, string>} */
export function credentials() {
  if (!token.value) return { "x-trunkline-csrf": "1" };
  return { authorization: `Bearer ${token.value}`, ...(isMachine.value ? { "x-trunkline-actor": "console:admin" } : {}) };
}

/** Asks the gateway who is signed in. */
export async function ask() {
  const { call } = await import("./api.js");
  door.value = await call("GetDoor");
}

/** Returns whether the gateway knows the token. @param {string} value */
export async function signInWithToken(value) {
  const { call } = await import("./api.js");
  const answer = await call("GetDoor", {}, { headers: { authorization: `Bearer ${value}` } });
  if (!answer.me) return false;
  keep("session", "token", value);
  batch(() => {
    token.value = value;
    ended.value = "";
    door.value = answer;
  });
  return true;
}

/** Called after a set-up link, an invitation or a password has started a session; the browser has its cookie. */
export async function signedInNow() {
  ended.value = "";
  await ask();
}

/** @param {{everywhere?: boolean}} [how] */
export async function signOut({ everywhere = false } = {}) {
  const { call } = await import("./api.js");
  if (!token.value) await call("SignOut", { everywhere });
  forget("");
}

/** The gateway no longer knows this sign-in. @param {string} why a key of the dictionaries */
export function forget(why) {
  keep("session", "token", "");
  batch(() => {
    token.value = "";
    ended.value = why;
    door.value = { options: door.value?.options };
  });
}
