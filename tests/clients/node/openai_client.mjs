// The official JavaScript SDK.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  API_KEY,
  BAD_KEY,
  BASE_URL,
  IMAGE_URL,
  LIMITED_KEY,
  PROMPT,
  WEATHER,
  caught,
  run,
  silence,
  weather,
} from "./cases.mjs";

const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY });
const messages = [{ role: "user", content: PROMPT }];
const tool = { name: "weather", description: "The weather in a city.", parameters: WEATHER, strict: true };
const tools = [{ type: "function", function: tool }];
const model = "gpt-4.1";

await run({
  async models() {
    const ids = [];
    for await (const each of client.models.list()) ids.push(each.id);
    return ids;
  },

  async plain() {
    const completion = await client.chat.completions.create({ model, messages });
    const { prompt_tokens, completion_tokens } = completion.usage;
    return [completion.choices[0].message.content, prompt_tokens, completion_tokens];
  },

  async stream() {
    const chunks = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let used;
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta?.content ?? "";
      used = chunk.usage ?? used;
    }
    return [text, used.prompt_tokens, used.completion_tokens];
  },

  async tools() {
    const asked = (await client.chat.completions.create({ model, messages, tools })).choices[0].message;
    const [call] = asked.tool_calls;
    const given = JSON.parse(call.function.arguments);
    const returned = { role: "tool", tool_call_id: call.id, content: weather(given) };
    const final = await client.chat.completions.create({ model, messages: [...messages, asked, returned], tools });
    return [call.function.name, given, final.choices[0].message.content];
  },

  async tools_streamed() {
    const final = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const [call] = final.choices[0].message.tool_calls;
    return [call.function.name, JSON.parse(call.function.arguments)];
  },

  async structured() {
    const format = zodResponseFormat(z.object({ city: z.string(), degrees: z.int().min(1) }), "answer");
    const completion = await client.chat.completions.parse({ model, messages, response_format: format });
    const { city, degrees } = completion.choices[0].message.parsed;
    return { city, degrees };
  },

  async vision() {
    const content = [
      { type: "text", text: PROMPT },
      { type: "image_url", image_url: { url: IMAGE_URL } },
    ];
    const completion = await client.chat.completions.create({ model, messages: [{ role: "user", content }] });
    return [completion.choices[0].message.content, completion.usage.prompt_tokens];
  },

  async embeddings() {
    const made = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
    return made.data.map((item) => item.embedding.length);
  },

  async responses() {
    const response = await client.responses.create({ model, input: PROMPT });
    const streamed = await client.responses.stream({ model, input: PROMPT }).finalResponse();
    return [response.output_text, streamed.output_text, streamed.usage.output_tokens];
  },

  async responses_tools() {
    const offered = [{ type: "function", ...tool }];
    const asked = await client.responses.create({ model, input: PROMPT, tools: offered });
    const [call] = asked.output;
    const given = JSON.parse(call.arguments);
    const returned = { type: "function_call_output", call_id: call.call_id, output: weather(given) };
    const input = [...messages, call, returned];
    const final = await client.responses.create({ model, input, tools: offered });
    return [call.name, given, final.output_text];
  },

  async images() {
    const made = await client.images.generate({ model: "gpt-image-1", prompt: PROMPT });
    return Boolean(made.data[0].b64_json);
  },

  async audio() {
    const file = new File([silence()], "a.wav");
    const transcript = await client.audio.transcriptions.create({ model: "whisper-1", file });
    const spoken = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input: PROMPT });
    return [transcript.text, (await spoken.arrayBuffer()).byteLength];
  },

  async bad_key() {
    return caught(() => new OpenAI({ baseURL: BASE_URL, apiKey: BAD_KEY }).models.list());
  },

  async unknown_model() {
    return caught(() => client.chat.completions.create({ model: "no-such-model", messages }));
  },

  async limited() {
    const hasty = new OpenAI({ baseURL: BASE_URL, apiKey: LIMITED_KEY });
    const ask = () => hasty.chat.completions.create({ model, messages });
    const both = await Promise.all([ask(), ask()]);
    return both.map((completion) => completion.choices[0].message.content);
  },

  async failover() {
    const completion = await client.chat.completions.create({ model: "failover", messages });
    return completion.choices[0].message.content;
  },
});
