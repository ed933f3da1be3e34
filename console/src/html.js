// Re-exports the parts of the vendored libraries that views use.
import htm from "../vendor/htm.js";
import { Fragment, createElement, render } from "../vendor/preact.js";

export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
export { batch, computed, effect, signal } from "../vendor/preact-signals.js";
export { Fragment, render };

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(/** @type {any} */ (createElement));
