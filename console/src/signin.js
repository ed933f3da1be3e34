// The door: the admin token, for this tab.
import { html, useState } from "./html.js";
import { rich, t } from "./i18n.js";
import { ended, signInWithToken } from "./session.js";
import { Preferences } from "./preferences.js";
import { Form, TextField } from "./ui/controls.js";
import { Notice } from "./ui/feedback.js";
import { Logo } from "./ui/icons.js";
import { Page } from "./ui/page.js";

export function SignIn() {
  const [token, setToken] = useState("");
  const send = async () => {
    try {
      await signInWithToken(token.trim());
    } catch (error) {
      throw error.status === 401 ? new Error(t("signin.wrong")) : error;
    }
  };
  return html`
    <main class="door">
      <div class="door-brand"><${Logo} /><span>Trunkline</span></div>
      <div class="card door-card">
        <${Page} title=${t("signin.title")} lead=${t("signin.lead")}>
          ${ended.value && html`<${Notice} tone="warn">${t(ended.value)}<//>`}
          <${Form} onSend=${send} action=${t("signin.action")} disabled=${!token.trim()}>
            <${TextField}
              label=${t("signin.token")}
              hint=${rich("signin.token_hint", { file: html`<code>credentials.json</code>` })}
              type="password"
              name="token"
              value=${token}
              onValue=${setToken}
              autofocus
            />
          <//>
        <//>
      </div>
      <${Preferences} />
    </main>
  `;
}
