// The frame around every page: navigation, and the page itself.
import { html, useEffect, useState } from "./html.js";
import { t } from "./i18n.js";
import { ACCOUNT, GROUPS, PAGES } from "./pages.js";
import { Device } from "./device.js";
import { link } from "./links.js";
import { Preferences } from "./preferences.js";
import { address, place } from "./router.js";
import { isAdmin, isAtLeast, signOut, user } from "./session.js";
import { useSettling } from "./settling.js";
import { Button, IconButton } from "./ui/controls.js";
import { Failure, Skeleton } from "./ui/feedback.js";
import { Icon, Logo } from "./ui/icons.js";
import { Page } from "./ui/page.js";

export function Shell() {
  const [open, setOpen] = useState(false);
  const { path } = place.value;
  const known = user.value ? [...PAGES, ACCOUNT] : PAGES;
  const page = known.find((each) => each.id === (path[0] ?? "start") && isOpen(each));
  useSettling(false);
  useEffect(() => setOpen(false), [path.join("/")]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>${t("shell.skip")}</a>
    <header class="bar">
      <${IconButton} icon=${open ? "close" : "menu"} label=${t("shell.menu")} aria-expanded=${open ? "true" : "false"}
        aria-controls="navigation" onClick=${() => setOpen(!open)} />
      <a class="brand" href=${address(["start"])}><${Logo} /><span>Trunkline</span></a>
    </header>
    <div class="frame">
      <nav id="navigation" class=${`nav ${open ? "open" : ""}`} aria-label=${t("shell.navigation")}>
        <a class="brand" href=${address(["start"])}><${Logo} /><span>Trunkline</span></a>
        ${GROUPS.map((group) => html`<${Group} group=${group} current=${page?.id} />`)}
        <div class="nav-foot">
          <${Preferences} />
          ${user.value &&
          html`<a class="who" href=${address(["account"])} aria-current=${page === ACCOUNT ? "page" : undefined}>
            <${Icon} name="members" /><span>${user.value.name || user.value.email}</span><span class="unseen">${t("nav.account")}</span>
          </a>`}
          <${Button} kind="quiet" icon="out" onClick=${() => signOut()}>${t("signin.out")}<//>
        </div>
      </nav>
      <main id="main" tabindex="-1" data-view=${location.hash}>
        ${link.value ? html`<${Device} code=${link.value.token} />` : page ? html`<${Loading} key=${page.id} page=${page} />` : html`<${Unknown} />`}
      </main>
    </div>
  `;
}

/** Returns whether this user may see a page. */
const isOpen = (page) => (!page.admin || isAdmin.value) && (!page.role || isAtLeast(page.role));

function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

const Group = ({ group, current }) => group.pages.some(isOpen) && html`
  <div class="nav-group" role="group" aria-labelledby=${`nav-${group.id}`}>
    <h2 id=${`nav-${group.id}`}>${t(`nav.group.${group.id}`)}</h2>
    <ul>
      ${group.pages.filter(isOpen).map(
        ({ id, icon }) => html`
          <li>
            <a href=${address([id])} aria-current=${id === current ? "page" : undefined}>
              <${Icon} name=${icon} /><span>${t(`nav.${id}`)}</span>
            </a>
          </li>
        `,
      )}
    </ul>
  </div>
`;

/** Loads a page. A missing file belongs to a version that was replaced. */
function Loading({ page }) {
  const [loaded, setLoaded] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    page.load().then(setLoaded, () => setError({ code: "replaced", message: t("error.replaced") }));
  }, []);
  if (error) return html`<${Failure} error=${error} onRetry=${() => location.reload()} />`;
  return loaded ? html`<${loaded.default} />` : html`<${Skeleton} lines=${8} />`;
}

const Unknown = () => html`
  <${Page} title=${t("shell.unknown")}><p><a href=${address(["start"])}>${t("nav.start")}</a></p><//>
`;
