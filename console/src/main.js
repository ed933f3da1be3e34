// The console begins: its texts first, then the shell, or the sign-in.
import { html, render } from "./html.js";
import { language, setLanguage } from "./i18n.js";
import { signedIn } from "./session.js";
import { Shell } from "./shell.js";
import { SignIn } from "./signin.js";
import { Announcements } from "./ui/feedback.js";
import { Confirmation } from "./ui/dialog.js";

const Console = () => html`
  ${signedIn.value ? html`<${Shell} />` : html`<${SignIn} />`}
  <${Confirmation} />
  <${Announcements} />
`;

await setLanguage(language.value);
render(html`<${Console} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
