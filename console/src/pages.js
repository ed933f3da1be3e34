// The list of pages. Each is loaded when it is opened.

/** @typedef {{id: string, icon: string, admin?: boolean, role?: string, load: () => Promise<any>}} PageEntry `admin`:
 *   of the installation's; `role`: of who has this one, or a higher one, somewhere */

/** Groups of the navigation, in order. @type {{id: string, pages: PageEntry[]}[]} */
export const GROUPS = [
  {
    id: "use",
    pages: [
      { id: "start", icon: "start", load: () => import("./pages/start.js") },
      { id: "playground", icon: "playground", load: () => import("./pages/playground.js") },
    ],
  },
  {
    id: "serve",
    pages: [
      { id: "models", icon: "models", load: () => import("./pages/models.js") },
      { id: "providers", icon: "providers", admin: true, load: () => import("./pages/providers.js") },
      { id: "nodes", icon: "nodes", load: () => import("./pages/nodes.js") },
    ],
  },
  {
    id: "watch",
    pages: [
      { id: "usage", icon: "usage", load: () => import("./pages/usage.js") },
      { id: "requests", icon: "requests", admin: true, load: () => import("./pages/requests.js") },
      { id: "health", icon: "health", admin: true, load: () => import("./pages/health.js") },
    ],
  },
  {
    id: "manage",
    pages: [
      { id: "keys", icon: "keys", load: () => import("./pages/keys.js") },
      { id: "members", icon: "members", role: "ROLE_OWNER", load: () => import("./pages/members.js") },
      { id: "settings", icon: "settings", admin: true, load: () => import("./pages/settings.js") },
      { id: "reference", icon: "reference", load: () => import("./pages/reference.js") },
      { id: "audit", icon: "audit", role: "ROLE_OWNER", load: () => import("./pages/audit.js") },
    ],
  },
];

export const PAGES = GROUPS.flatMap((group) => group.pages);

/** The page of users who are signed in with an account. @type {PageEntry} */
export const ACCOUNT = { id: "account", icon: "members", load: () => import("./pages/account.js") };
