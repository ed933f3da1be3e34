// A request of the playground as code.

const indent = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

/** Formats a JSON value as Python code. */
function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each)}`).join(", ")}}`;
  return JSON.stringify(value);
}

/**
 * @param {string} base @param {any} body what is sent, without the stream's options
 * @returns {{id: string, name: string, text: string}[]}
 */
export function code(base, body) {
  const { messages, ...rest } = body;
  const json = JSON.stringify({ ...body, stream: true }, null, 2);
  const options = Object.entries(rest).map(([name, value]) => `    ${name}=${python(value)},`);
  return [
    {
      id: "curl",
      name: "cURL",
      text: `curl -N ${base}/chat/completions \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' \\
  -d '${json.replaceAll("'", `'\\''`)}'`,
    },
    {
      id: "python",
      name: "Python",
      text: `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(base)})  # reads OPENAI_API_KEY
stream = client.chat.completions.create(
${options.join("\n")}
    messages=[
${messages.map((each) => `        ${python(each)},`).join("\n")}
    ],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
    },
    {
      id: "javascript",
      name: "JavaScript",
      text: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(base)} }); // reads OPENAI_API_KEY
const stream = await client.chat.completions.create(${indent(json, 0)});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");`,
    },
  ];
}
