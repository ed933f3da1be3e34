// Marks an incomplete view: <main> is `aria-busy` until it has its module and its answer.
import { useLayoutEffect } from "./html.js";

let waiting = 0;

/** Sets the attribute at once, so that a new view never seems complete too early. */
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
