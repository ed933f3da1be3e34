// Sends a request to a model through the clients' endpoint, as any client does, and reads the stream.

const PATH = "/console/v1/chat/completions";

/**
 * @typedef {{text: string, reasoning: string, tools: {name: string, arguments: string}[], usage: any, target: string,
 *   attempts: string, request: string, first: number, total: number, cache: string, finish: string}} Answer
 *   Times are milliseconds since the request was sent; `first` is 0 until the first event.
 */

/** @returns {Answer} */
export const nothing = () => ({
  text: "", reasoning: "", tools: [], usage: null, target: "", attempts: "", request: "", first: 0, total: 0, cache: "", finish: "",
});

/**
 * Calls `onChange(answer)` with everything so far, a few times a second at most. Throws Error with the gateway's message.
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
  if (!response.ok || !response.body) {
    const refusal = await response.json().catch(() => ({}));
    throw new Error(refusal.error?.message ?? `HTTP ${response.status}`);
  }
  let shown = 0;
  for await (const data of events(response.body)) {
    if (data === "[DONE]") break;
    take(JSON.parse(data), answer);
    const now = performance.now();
    if (!answer.first && (answer.text || answer.reasoning || answer.tools.length)) answer.first = now - begun;
    answer.total = now - begun;
    if (now - shown > 60) {
      shown = now;
      onChange({ ...answer });
    }
  }
  answer.total = performance.now() - begun;
  onChange({ ...answer });
}

/** Adds one event to the answer, in place. */
function take(event, answer) {
  if (event.error) throw new Error(event.error.message ?? "the stream ended with an error");
  if (event.usage) answer.usage = event.usage;
  const choice = event.choices?.[0];
  if (!choice) return;
  answer.text += choice.delta?.content ?? "";
  answer.reasoning += choice.delta?.reasoning_content ?? choice.delta?.reasoning ?? "";
  answer.finish = choice.finish_reason ?? answer.finish;
  for (const call of choice.delta?.tool_calls ?? []) {
    const tool = (answer.tools[call.index ?? 0] ??= { name: "", arguments: "" });
    tool.name += call.function?.name ?? "";
    tool.arguments += call.function?.arguments ?? "";
  }
}

/** The data of server-sent events. @param {ReadableStream<Uint8Array>} body */
async function* events(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}

/**
 * The cost of an answer at a target's price in USD; null without a price. It counts only tokens; the ledger is exact.
 * @param {any} usage @param {import("../generated/types.d.ts").Price | undefined} price
 */
export function cost(usage, price) {
  if (!usage || !price?.input) return null;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const parts = [
    [usage.prompt_tokens - cached, price.input],
    [cached, price.cached_input ?? price.input],
    [usage.completion_tokens, price.output],
  ];
  return parts.reduce((sum, [tokens, each]) => sum + Number(tokens) * Number(each ?? 0), 0) / 1e12;
}
