// Whether the view that is shown is complete: <main> is `aria-busy` until it has its module and its answer.
import { useLayoutEffect } from "./html.js";

let waiting = 0;

/** Writes the attribute at once, so that nobody meets a new view that still seems complete. */
const write = () => document.querySelector("main")?.setAttribute("aria-busy", waiting ? "true" : "false");

/** Marks the view as incomplete while the component is there and `incomplete` holds. @param {boolean} incomplete */
export function useSettling(incomplete) {
  useLayoutEffect(() => {
    if (!incomplete) {
      write();
      return undefined;
    }
    waiting += 1;
    write();
    return () => {
      waiting -= 1;
      write();
    };
  }, [incomplete]);
}
