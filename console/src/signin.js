// Sign-in: by a password, an identity provider, or the admin token; and by links for the first time.
import { html, useEffect, useState } from "./html.js";
import { call } from "./api.js";
import { rich, t } from "./i18n.js";
import { link } from "./links.js";
import { door, ended, signInWithToken, signedInNow } from "./session.js";
import { useSettling } from "./settling.js";
import { Preferences } from "./preferences.js";
import { Button, Form, TextField } from "./ui/controls.js";
import { Code } from "./ui/code.js";
import { Badge, Failure, Notice } from "./ui/feedback.js";
import { Logo } from "./ui/icons.js";
import { Page } from "./ui/page.js";

/** Returns whether anyone may have a password: before there is an account, only identity providers sign people in. */
const hasPasswords = (options) => options.password && !options.needs_setup;

/** An address that the gateway accepts to come back to after signing in elsewhere. */
const ACCEPTED = /^\/#[!-[\]-~]{1,490}$/;

/** Returns the address of what this visitor came for: a view, or the approval of a program. */
function wanted() {
  const found = link.value?.kind === "device" ? `/#device=${link.value.token}` : `/${location.hash}`;
  return ACCEPTED.test(found) ? found : "/#/start";
}

export function SignIn() {
  const [way, setWay] = useState("");
  useSettling(false);
  const options = door.value?.options ?? {};
  // Without passwords, people accept an invitation by signing in through the identity provider.
  const opens = link.value && (link.value.kind === "setup" || (link.value.kind !== "device" && (options.password || !options.oidc?.length)));
  const shown = way || (opens ? "link" : hasPasswords(options) || options.oidc?.length ? "account" : "token");
  const Way = { link: Link, token: Token, account: Account }[shown] ?? Token;
  return html`
    <main class="door">
      <div class="door-brand"><${Logo} /><span>Trunkline</span></div>
      <div class="card door-card">
        <${Way} options=${options} onWay=${setWay} />
      </div>
      <${Preferences} />
    </main>
  `;
}

const Ended = () => ended.value && html`<${Notice} tone="warn">${t(ended.value)}<//>`;

function Account({ options, onWay }) {
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  const begin = async (provider) => {
    try {
      const { url = "" } = await call("BeginOidc", { provider, next: wanted() });
      if (!/^https?:\/\//.test(url)) throw new Error(t("signin.error.failed"));
      location.assign(url);
    } catch (failure) {
      setError(failure);
    }
  };
  const send = async () => {
    try {
      await call("SignIn", { email, password });
    } catch (error) {
      throw error.status === 401 ? new Error(t("signin.wrong_password")) : error;
    }
    await signedInNow();
  };
  return html`
    <${Page} title=${t("signin.title")} lead=${t("signin.lead")}>
      <${Ended} />
      ${(options.oidc ?? []).map(
        (each) => html`<${Button} class="button wide" onClick=${() => begin(each.name)}>${t("signin.with", { name: each.title || each.name })}<//>`,
      )}
      ${error && html`<${Failure} error=${error} />`}
      ${hasPasswords(options) && html`
      <${Form} onSend=${send} action=${t("signin.action")} disabled=${!email || !password}>
        <${TextField} label=${t("signin.email")} type="email" name="email" autocomplete="username" value=${email} onValue=${setEmail} autofocus />
        <${TextField} label=${t("signin.password")} type="password" name="password" autocomplete="current-password" value=${password} onValue=${setPassword} />
      <//>
      `}
      <${Button} kind="quiet" onClick=${() => onWay("token")}>${t("signin.by_token")}<//>
    <//>
  `;
}

function Token({ options, onWay }) {
  const [token, setToken] = useState("");
  const send = async () => {
    if (!(await signInWithToken(token.trim()))) throw new Error(t("signin.wrong"));
  };
  return html`
    <${Page} title=${t("signin.title")} lead=${t("signin.lead")}>
      <${Ended} />
      ${options.needs_setup &&
      html`<div class="stack"><p>${t("signin.setup_hint")}</p><${Code} text="trunkline users setup-link" /></div>`}
      <${Form} onSend=${send} action=${t("signin.action")} disabled=${!token.trim()}>
        <${TextField} label=${t("signin.token")} type="password" name="token" value=${token} onValue=${setToken} autofocus
          hint=${rich("signin.token_hint", { file: html`<code>credentials.json</code>` })} />
      <//>
      ${(hasPasswords(options) || options.oidc?.length > 0) && html`<${Button} kind="quiet" onClick=${() => onWay("account")}>${t("signin.by_account")}<//>`}
    <//>
  `;
}

const CALLS = { setup: "RedeemSetupLink", invite: "AcceptInvitation", reset: "RedeemReset" };
const LEAST = 12;

/** The view for a link that creates an account or sets a new password. */
function Link({ onWay }) {
  const { kind = "setup", token = "" } = link.value ?? {};
  const [whom, setWhom] = useState(/** @type {any} */ ({}));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [form, setForm] = useState({ email: "", name: "", password: "" });
  const set = (name) => (value) => setForm((former) => ({ ...former, [name]: value }));
  useEffect(() => {
    if (kind !== "setup") call("ShowLink", { token }).then(setWhom, setError);
  }, []);
  const hasPassword = kind === "invite" && whom.has_password;
  const ready = form.password.length >= (hasPassword ? 1 : LEAST) && (kind !== "setup" || form.email);
  const send = async () => {
    const { email, name, password } = form;
    await call(CALLS[kind], { token, password, ...(kind === "setup" ? { email } : {}), ...(kind === "reset" ? {} : { name }) });
    link.value = null;
    await signedInNow();
  };
  const leave = () => {
    link.value = null;
    onWay("");
  };
  return html`
    <${Page} title=${t(`link.${kind}`)} lead=${t(`link.${kind}_lead`)}>
      ${error && html`<${Failure} error=${error} />`}
      ${whom.email && html`<p>${t("link.for", { email: whom.email })} ${whom.organisation && html`<${Badge} tone="info">${whom.organisation}: ${t(`role.${whom.role ?? "ROLE_MEMBER"}`)}<//>`}</p>`}
      <${Form} onSend=${send} action=${t(`link.${kind}_action`)} onCancel=${leave} disabled=${!ready || error}>
        ${kind === "setup" && html`<${TextField} label=${t("signin.email")} type="email" name="email" autocomplete="username" value=${form.email} onValue=${set("email")} autofocus />`}
        ${kind !== "reset" && !hasPassword && html`<${TextField} label=${t("link.name")} name="name" autocomplete="name" optional value=${form.name} onValue=${set("name")} />`}
        <${TextField} label=${t("signin.password")} hint=${t(hasPassword ? "link.has_password" : "link.password_hint")} type="password" name="password"
          autocomplete=${hasPassword ? "current-password" : "new-password"} value=${form.password} onValue=${set("password")} />
      <//>
    <//>
  `;
}
