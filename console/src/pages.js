// Which pages there are. Each is loaded when it is opened.

/** @typedef {{id: string, icon: string, load: () => Promise<any>}} PageEntry */

/** Groups of the navigation, in order. @type {{id: string, pages: PageEntry[]}[]} */
export const GROUPS = [
  {
    id: "use",
    pages: [
      { id: "start", icon: "start", load: () => import("./pages/start.js") },
    ],
  },
  {
    id: "serve",
    pages: [
      { id: "providers", icon: "providers", load: () => import("./pages/providers.js") },
    ],
  },
  {
    id: "manage",
    pages: [
      { id: "keys", icon: "keys", load: () => import("./pages/keys.js") },
    ],
  },
];

export const PAGES = GROUPS.flatMap((group) => group.pages);
