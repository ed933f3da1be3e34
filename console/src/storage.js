// Storage that a browser may refuse: values then last as long as the page.
const memory = new Map();

/** @param {"local" | "session"} kind */
function open(kind) {
  try {
    return kind === "local" ? localStorage : sessionStorage;
  } catch {
    return null;
  }
}

/** @param {"local" | "session"} kind @param {string} name @returns {string} empty if there is nothing */
export function recall(kind, name) {
  const key = `trunkline.${name}`;
  try {
    return open(kind)?.getItem(key) ?? memory.get(key) ?? "";
  } catch {
    return memory.get(key) ?? "";
  }
}

/** @param {"local" | "session"} kind @param {string} name @param {string} value empty: forget it */
export function keep(kind, name, value) {
  const key = `trunkline.${name}`;
  memory.set(key, value);
  try {
    if (value) open(kind)?.setItem(key, value);
    else open(kind)?.removeItem(key);
  } catch {
    // the memory has it
  }
}
