// What a view shows: the answer of one call, kept while the next one is on its way.
import { useEffect, useRef, useState } from "./html.js";
import { call } from "./api.js";

/**
 * @template {keyof import("./generated/types.d.ts").Methods} M
 * @param {M} method
 * @param {import("./generated/types.d.ts").Methods[M]["request"]} [request] a change of it asks again
 * @param {{every?: number}} [options] `every`: seconds between calls while the page is seen
 * @returns {{data: import("./generated/types.d.ts").Methods[M]["response"] | null, error: any, busy: boolean,
 *   reload: () => Promise<void>}}
 */
export function useView(method, request = {}, { every = 0 } = {}) {
  const [state, setState] = useState({ data: null, error: null, busy: true });
  const asked = JSON.stringify(request);
  const running = useRef(/** @type {AbortController | null} */ (null));

  const reload = async () => {
    running.current?.abort();
    const controller = (running.current = new AbortController());
    setState((former) => ({ ...former, busy: true }));
    try {
      const data = await call(method, JSON.parse(asked), { signal: controller.signal });
      setState({ data, error: null, busy: false });
    } catch (error) {
      if (error.name !== "AbortError") setState((former) => ({ ...former, error, busy: false }));
    }
  };

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, [method, asked]);

  useEffect(() => {
    if (!every) return undefined;
    const timer = setInterval(() => document.hidden || reload(), every * 1000);
    return () => clearInterval(timer);
  }, [every, method, asked]);

  return { ...state, reload };
}
