// The data of a view: the answer of one call, kept while the next one is loading.
import { useEffect, useRef, useState } from "./html.js";
import { call } from "./api.js";
import { useSettling } from "./settling.js";

/**
 * @template {keyof import("./generated/types.d.ts").Methods} M
 * @param {M} method
 * @param {import("./generated/types.d.ts").Methods[M]["request"]} [request] a change of it asks again
 * @param {{every?: number}} [options] `every`: seconds between calls while the page is seen
 * @returns {{data: import("./generated/types.d.ts").Methods[M]["response"] | null, error: any, busy: boolean,
 *   reload: () => Promise<void>, answered: string}} `answered`: the request that `data` answers, as JSON
 */
export function useView(method, request = {}, { every = 0 } = {}) {
  const asked = JSON.stringify(request);
  const [state, setState] = useState({ data: null, error: null, busy: true, asked: "", answered: "" });
  const running = useRef(/** @type {AbortController | null} */ (null));

  const read = async () => {
    running.current?.abort();
    const controller = (running.current = new AbortController());
    try {
      const data = await call(method, JSON.parse(asked), { signal: controller.signal });
      setState({ data, error: null, busy: false, asked, answered: asked });
    } catch (error) {
      if (error.name !== "AbortError") setState((former) => ({ ...former, error, busy: false, asked }));
    } finally {
      if (running.current === controller) running.current = null;
    }
  };
  const reload = () => {
    setState((former) => ({ ...former, busy: true }));
    return read();
  };

  useEffect(() => {
    reload();
    return () => running.current?.abort();
  }, [method, asked]);

  useEffect(() => {
    if (!every) return undefined;
    // Waits for a slow answer instead of repeating the call.
    const timer = setInterval(() => document.hidden || running.current || read(), every * 1000);
    return () => clearInterval(timer);
  }, [every, method, asked]);

  const busy = state.busy || state.asked !== asked;
  useSettling(busy);
  return { data: state.data, error: state.error, busy, reload, answered: state.answered };
}
