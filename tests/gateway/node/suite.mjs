// The official JavaScript SDK against the gateway. Prints one JSON object; the test asserts on it.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "hello there" }];
const seen = {};

const chat = await client.chat.completions.create({ model: "gpt-4.1", messages });
seen.chat = chat.choices[0].message.content;

let streamed = "";
const stream = await client.chat.completions.create({ model: "gpt-4.1", messages, stream: true });
for await (const chunk of stream) streamed += chunk.choices[0]?.delta?.content ?? "";
seen.streamed = streamed;

const withTools = await client.chat.completions.create({
  model: "gpt-4.1",
  messages,
  tools: [
    {
      type: "function",
      function: {
        name: "weather",
        parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      },
    },
  ],
});
seen.tool = withTools.choices[0].message.tool_calls[0].function.name;

const embedding = await client.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
seen.dimensions = embedding.data[0].embedding.length;

const models = [];
for await (const model of client.models.list()) models.push(model.id);
seen.models = models;

try {
  await client.chat.completions.create({ model: "no-such-model", messages });
} catch (error) {
  seen.error = { name: error.constructor.name, status: error.status, code: error.code };
}

console.log(JSON.stringify(seen));
