// The documentation for each page of the console; the gateway serves both.

/** By the page's id. */
const PAGES = {
  start: "index",
  playground: "console",
  models: "routing",
  providers: "quota",
  nodes: "nodes",
  usage: "usage",
  requests: "requests",
  health: "operations",
  keys: "keys",
  members: "accounts",
  settings: "configuration",
  reference: "rest",
  audit: "security",
  account: "accounts",
};

/** Returns the address of a page's documentation; empty if there is none. @param {string} id */
export const help = (id) => (Object.hasOwn(PAGES, id) ? `/docs/${PAGES[id]}.html` : "");
