// Русский. Keys of a page begin with its name; `{name}` is replaced, and forms of the plural are chosen by `{n}`.
import gateway from "./ru/gateway.js";
import people from "./ru/people.js";
import reasons from "./ru/reasons.js";
import settings from "./ru/settings.js";
import watching from "./ru/watching.js";

export default { ...people, ...gateway, ...reasons, ...settings, ...watching };
