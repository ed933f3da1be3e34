// How to configure each client for the gateway. docs/clients.md says which of them the tests run.

/** A placeholder for a key. */
const NO_KEY = "YOUR_API_KEY";

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
const quoted = JSON.stringify; // a string of JSON is one of Python, JavaScript, TOML and YAML too

/** The body of a first request. @param {string} model */
const body = (model) => JSON.stringify({ model, messages: [{ role: "user", content: "Hello!" }] });

/**
 * `id` is also the end of an optional key of the dictionaries, `recipe.<id>`, for remarks.
 * @param {string} base base URL, with `/v1` @param {string} model @param {string} [key]
 * @returns {{id: string, name: string, text: string}[]}
 */
export function recipes(base, model, key = NO_KEY) {
  return [
    {
      id: "curl",
      name: "cURL",
      text: `curl ${shell(`${base}/chat/completions`)} \\
  -H ${shell(`Authorization: Bearer ${key}`)} \\
  -H 'Content-Type: application/json' \\
  -d ${shell(body(model))}`,
    },
    {
      id: "python",
      name: "Python",
      text: `from openai import OpenAI  # pip install openai

client = OpenAI(base_url=${quoted(base)}, api_key=${quoted(key)})
stream = client.chat.completions.create(
    model=${quoted(model)},
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    },
    {
      id: "javascript",
      name: "JavaScript",
      text: `import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: ${quoted(base)}, apiKey: ${quoted(key)} });
const stream = await client.chat.completions.create({
  model: ${quoted(model)},
  messages: [{ role: "user", content: "Hello!" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");`,
    },
    {
      id: "langchain",
      name: "LangChain",
      text: `from langchain_openai import ChatOpenAI  # pip install langchain-openai

model = ChatOpenAI(model=${quoted(model)}, base_url=${quoted(base)}, api_key=${quoted(key)})
print(model.invoke("Hello!").content)`,
    },
    {
      id: "ai-sdk",
      name: "Vercel AI SDK",
      text: `import { createOpenAICompatible } from "@ai-sdk/openai-compatible"; // npm install ai @ai-sdk/openai-compatible
import { streamText } from "ai";

const trunkline = createOpenAICompatible({
  name: "trunkline",
  baseURL: ${quoted(base)},
  apiKey: ${quoted(key)},
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const { textStream } = streamText({ model: trunkline(${quoted(model)}), prompt: "Hello!" });
for await (const text of textStream) process.stdout.write(text);`,
    },
    {
      id: "codex",
      name: "Codex",
      text: `# ~/.codex/config.toml; then: export TRUNKLINE_API_KEY=${shell(key)}
model = ${quoted(model)}
model_provider = "trunkline"

[model_providers.trunkline]
name = "Trunkline"
base_url = ${quoted(base)}
env_key = "TRUNKLINE_API_KEY"
wire_api = "responses"`,
    },
    {
      id: "open-webui",
      name: "Open WebUI",
      text: `docker run -d --name open-webui -p 3000:8080 -v open-webui:/app/backend/data \\
  -e OPENAI_API_BASE_URL=${shell(base)} \\
  -e OPENAI_API_KEY=${shell(key)} \\
  ghcr.io/open-webui/open-webui:main`,
    },
    {
      id: "continue",
      name: "Continue",
      text: `# ~/.continue/config.yaml
name: Trunkline
version: 1.0.0
schema: v1
models:
  - name: ${quoted(model)}
    provider: openai
    model: ${quoted(model)}
    apiBase: ${quoted(base)}
    apiKey: ${quoted(key)}
    roles: [chat, edit, apply]`,
    },
    {
      id: "aider",
      name: "Aider",
      text: `export OPENAI_API_BASE=${shell(base)}
export OPENAI_API_KEY=${shell(key)}
aider --model ${shell(`openai/${model}`)}`,
    },
  ];
}
