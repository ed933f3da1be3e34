// Approval of a program that wants to act for the signed-in user: `trunkline login`.
import { html, useEffect, useState } from "./html.js";
import { call } from "./api.js";
import { t } from "./i18n.js";
import { link } from "./links.js";
import { Button, Form } from "./ui/controls.js";
import { Failure, Notice, Skeleton } from "./ui/feedback.js";
import { Page } from "./ui/page.js";

/** @param {{code: string}} props */
export function Device({ code }) {
  const [asked, setAsked] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [done, setDone] = useState("");
  useEffect(() => {
    call("ShowDeviceLogin", { user_code: code }).then(setAsked, setError);
  }, []);
  const decide = async (approve) => {
    await call("DecideDeviceLogin", { user_code: code, approve });
    setDone(approve ? "approved" : "denied");
  };
  const leave = () => (link.value = null);
  return html`
    <${Page} title=${t("device.title")} lead=${t("device.lead")}>
      ${error && html`<${Failure} error=${error} />`}
      ${!asked && !error && html`<${Skeleton} lines=${3} />`}
      ${asked && !done &&
      html`
        <p class="device-code">${code}</p>
        <p>${t("device.who", { client: asked.client ?? "?", address: asked.address ?? "?" })}</p>
        <${Notice} tone="warn">${t("device.warning")}<//>
        <${Form} onSend=${() => decide(true)} action=${t("device.approve")}><${Button} onClick=${() => decide(false)}>${t("device.deny")}<//><//>
      `}
      ${done && html`<${Notice} tone=${done === "approved" ? "ok" : "info"}>${t(`device.${done}`)}<//>`}
      ${(done || error) && html`<div class="after"><${Button} onClick=${leave}>${t("device.console")}<//></div>`}
    <//>
  `;
}
