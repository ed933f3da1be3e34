// Sends a request to a model through the clients' endpoint, as any client does, and reads the stream.

import { num } from "../format.js";
import { t } from "../i18n.js";

const PATH = "/console/v1/chat/completions";

/** Bounds for what a provider may have the page keep: parallel calls of tools, and characters of a refusal without JSON. */
const MOST_TOOLS = 128;
const MOST_REFUSAL = 2_000;

/**
 * @typedef {{text: string, reasoning: string, tools: {name: string, arguments: string}[], usage: any, target: string,
 *   attempts: string, request: string, first: number, total: number, cache: string, finish: string}} Answer
 *   Times are milliseconds since the request was sent; `first` is 0 until the first event.
 */

/** @returns {Answer} */
export const nothing = () => ({
  text: "", reasoning: "", tools: [], usage: null, target: "", attempts: "", request: "", first: 0, total: 0, cache: "", finish: "",
});

/** A refusal of the gateway or of a provider; `details` are its type, code and parameter. */
export class Refusal extends Error {
  constructor(message, /** @type {string[]} */ details = []) {
    super(message);
    this.details = details;
  }
}

/**
 * Calls `onChange(answer)` with everything so far, a few times a second at most. Throws Refusal with the gateway's or
 * the provider's message.
 * @param {{key: string, body: any, signal: AbortSignal, onChange: (answer: Answer) => void}} options
 */
export async function ask({ key, body, signal, onChange }) {
  const begun = performance.now();
  const response = await fetch(PATH, {
    method: "POST",
    signal,
    credentials: "omit",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
  });
  const answer = nothing();
  answer.target = response.headers.get("x-trunkline-target") ?? "";
  answer.attempts = response.headers.get("x-trunkline-attempts") ?? "";
  answer.request = response.headers.get("x-trunkline-request-id") ?? "";
  answer.cache = response.headers.get("x-trunkline-cache") ?? "";
  let shown = 0;
  try {
    for await (const event of events(response)) {
      take(event, answer);
      const now = performance.now();
      if (!answer.first && (answer.text || answer.reasoning || answer.tools.length)) answer.first = now - begun;
      if (now - shown > 60) {
        shown = now;
        answer.total = now - begun;
        onChange({ ...answer });
      }
    }
  } finally {
    answer.total = performance.now() - begun;
    onChange({ ...answer });
  }
}

/** The answer's events as values: of a stream, or the one of an answer in one piece. Throws Refusal. @param {Response} response */
async function* events(response) {
  if (response.ok && response.body && /^text\/event-stream/i.test(response.headers.get("content-type") ?? "")) {
    for await (const data of lines(response.body)) {
      if (data === "[DONE]") return;
      yield parsed(data) ?? { error: data };
    }
    return;
  }
  const whole = await response.text();
  const value = parsed(whole);
  if (response.ok && value) yield value;
  else throw refusal(value?.error ?? whole, response.status);
}

/** @returns {any} undefined if it is not a JSON object */
function parsed(/** @type {string} */ data) {
  try {
    const value = JSON.parse(data);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** A provider's value as a text: it may send anything in place of one. */
const said = (value) => (typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value));

/** @param {any} error as an object, or the text of an answer that is no JSON @param {number} [status] */
function refusal(error, status) {
  if (typeof error !== "object" || error === null) {
    const text = said(error).trim().slice(0, MOST_REFUSAL);
    return new Refusal(text || t("playground.no_reason"), status ? [`HTTP ${status}`] : []);
  }
  const details = [status && `HTTP ${status}`, error.type, error.code, error.param].map(said).filter(Boolean);
  return new Refusal(said(error.message) || t("playground.no_reason"), [...new Set(details)]);
}

/** Adds one event to the answer, in place. */
function take(event, answer) {
  if (event.error) throw refusal(event.error);
  if (event.usage) answer.usage = event.usage;
  const choice = event.choices?.[0];
  const more = choice?.delta ?? choice?.message; // `message`: an answer in one piece
  if (choice?.finish_reason) answer.finish = said(choice.finish_reason);
  if (!more) return;
  answer.text += said(more.content);
  answer.reasoning += said(more.reasoning_content ?? more.reasoning);
  const calls = Array.isArray(more.tool_calls) ? more.tool_calls : [];
  calls.forEach((call, at) => {
    const index = call?.index ?? at;
    if (!Number.isInteger(index) || index < 0 || index >= MOST_TOOLS) return;
    while (answer.tools.length <= index) answer.tools.push({ name: "", arguments: "" });
    answer.tools[index].name += said(call.function?.name);
    answer.tools[index].arguments += said(call.function?.arguments);
  });
}

/** The data of server-sent events. @param {ReadableStream<Uint8Array>} body */
async function* lines(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const complete = rest.split(/\r?\n/);
      rest = complete.pop() ?? "";
      for (const line of complete) {
        if (line.startsWith("data:")) yield line.slice(5).trim();
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the provider may send more after an error
  }
}

/**
 * The cost of an answer at a target's price in USD; null without a price. It counts only tokens; the ledger is exact.
 * @param {any} usage @param {import("../generated/types.d.ts").Price | undefined} price
 */
export function cost(usage, price) {
  if (!usage || !price?.input) return null;
  const cached = num(usage.prompt_tokens_details?.cached_tokens);
  const parts = [
    [num(usage.prompt_tokens) - cached, price.input],
    [cached, price.cached_input ?? price.input],
    [usage.completion_tokens, price.output],
  ];
  const sum = parts.reduce((sum, [tokens, each]) => sum + num(tokens) * num(each), 0) / 1e12;
  return Number.isFinite(sum) ? sum : null;
}
