// Tables as downloads.

/** A cell that a spreadsheet would take for a formula gets an apostrophe; numbers stay. @param {string} text */
const safe = (text) => (/^[=+\-@\t\r]/.test(text) && !/^-?\d/.test(text) ? `'${text}` : text);

/** RFC 4180. @param {(string | number)[][]} rows */
export const csv = (rows) =>
  rows.map((row) => row.map((each) => `"${safe(String(each)).replaceAll('"', '""')}"`).join(",")).join("\r\n") + "\r\n";

/** @param {string} name @param {string} text @param {string} type */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
