// Points in time in `datetime-local` fields, which have the browser's time zone.

/** @param {string | number | undefined} seconds Unix seconds; 0: none */
export function localTime(seconds) {
  const at = Number(seconds ?? 0) * 1000;
  return at ? new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : "";
}

/** Unix seconds as they are sent; "0" for an empty field. @param {string} text */
export const unixSeconds = (text) => String(Math.floor(Date.parse(text) / 1000) || 0);
