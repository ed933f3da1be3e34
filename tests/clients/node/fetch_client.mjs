// fetch, as programs without an SDK use it: in Node.js, at the edge, in browsers.
import { API_KEY, BAD_KEY, BASE_URL, LIMITED_KEY, PROMPT, run } from "./cases.mjs";

const messages = [{ role: "user", content: PROMPT }];
const model = "gpt-4.1";

const ask = (path, body, key = API_KEY) =>
  fetch(`${BASE_URL}${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

// Yields the events of a stream, however the bytes are split.
async function* eventsOf(response) {
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}

async function failed(path, body, key) {
  const response = await ask(path, body, key);
  return [`status ${response.status}`, (await response.json()).error.code];
}

await run({
  async models() {
    return (await (await ask("/models")).json()).data.map((each) => each.id);
  },

  async plain() {
    const { choices, usage } = await (await ask("/chat/completions", { model, messages })).json();
    return [choices[0].message.content, usage.prompt_tokens, usage.completion_tokens];
  },

  async stream() {
    const body = { model, messages, stream: true, stream_options: { include_usage: true } };
    let text = "";
    let last;
    for await (const data of eventsOf(await ask("/chat/completions", body))) {
      if (data === "[DONE]") return [text, last.usage.prompt_tokens, last.usage.completion_tokens];
      last = JSON.parse(data);
      text += last.choices[0]?.delta.content ?? "";
    }
    throw new Error("the stream ended without [DONE]");
  },

  async embeddings() {
    const body = { model: "text-embedding-3-small", input: ["one", "two"] };
    return (await (await ask("/embeddings", body)).json()).data.map((item) => item.embedding.length);
  },

  async bad_key() {
    return failed("/models", undefined, BAD_KEY);
  },

  async unknown_model() {
    return failed("/chat/completions", { model: "no-such-model", messages });
  },

  // Retries after the time in Retry-After.
  async limited() {
    const patient = async () => {
      const response = await ask("/chat/completions", { model, messages }, LIMITED_KEY);
      if (response.status === 429) {
        const seconds = Number(response.headers.get("retry-after"));
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        return patient();
      }
      return (await response.json()).choices[0].message.content;
    };
    return Promise.all([patient(), patient()]);
  },

  async failover() {
    const { choices } = await (await ask("/chat/completions", { model: "failover", messages })).json();
    return choices[0].message.content;
  },
});
