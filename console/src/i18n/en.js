// English. Keys of a page begin with its name; `{name}` is replaced, and forms of the plural are chosen by `{n}`.
import gateway from "./en/gateway.js";
import people from "./en/people.js";
import reasons from "./en/reasons.js";
import settings from "./en/settings.js";
import watching from "./en/watching.js";

export default { ...people, ...gateway, ...reasons, ...settings, ...watching };
