// Starts the console: loads texts and the session, then shows the shell or the sign-in.
import { ApiError } from "./api.js";
import { html, render } from "./html.js";
import { language, setLanguage, t } from "./i18n.js";
import { link } from "./links.js";
import { ask, signedIn } from "./session.js";
import { Shell } from "./shell.js";
import { SignIn } from "./signin.js";
import { Announcements, Failure, announce } from "./ui/feedback.js";
import { Confirmation } from "./ui/dialog.js";

const root = /** @type {HTMLElement} */ (document.getElementById("app"));

const Console = () => html`
  ${signedIn.value && (!link.value || link.value.kind === "device") ? html`<${Shell} />` : html`<${SignIn} />`}
  <${Confirmation} />
  <${Announcements} />
`;

// A call that a button makes may fail; forms and views show that in their own place.
addEventListener("unhandledrejection", (event) => {
  if (!(event.reason instanceof ApiError)) return;
  event.preventDefault();
  announce(event.reason.message, "bad");
});

async function begin() {
  try {
    await Promise.all([setLanguage(language.value), ask()]);
  } catch (error) {
    render(html`<main class="door"><h1>${t("error.title")}</h1><${Failure} error=${error} onRetry=${begin} /></main>`, root);
    return;
  }
  render(html`<${Console} />`, root);
}

await begin();
