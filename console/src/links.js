// Links with secrets: `#setup=…`, `#invite=…`, `#reset=…`, `#device=…`. The secret is removed from the address bar and the history at once.
import { signal } from "./html.js";
import { ended } from "./session.js";

const FOUND = /^#(setup|invite|reset|device)=([\w-]+)$/;

/** Why an identity provider's answer did not sign the user in, `#sign-in-error=…`. */
const REFUSED = /^#sign-in-error=(denied|refused|failed)$/;

function take() {
  const refused = REFUSED.exec(location.hash);
  if (refused) {
    history.replaceState(null, "", location.pathname);
    ended.value = `signin.error.${refused[1]}`;
  }
  const found = FOUND.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return { kind: found[1], token: found[2] };
}

/** `{kind, token}`; null without a link, or after its use. */
export const link = signal(take());
addEventListener("hashchange", () => (link.value = take() ?? link.value));
