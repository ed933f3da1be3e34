// What every view needs of the vendored libraries, from one place.
import htm from "../vendor/htm.js";
import { Fragment, createElement, render } from "../vendor/preact.js";

export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
export { batch, computed, effect, signal } from "../vendor/preact-signals.js";
export { Fragment, render };

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(/** @type {any} */ (createElement));
