// Русский: описания полей сообщений из reasons.proto.

/** @type {Record<string, string>} */
export default {
  "ReasonCode.code": "Например, `target.paused`; пусто, если слова чужие, например самого узла.",
  "ReasonCode.values": "Что в предложении есть кроме слов кода, по порядку.",
};
