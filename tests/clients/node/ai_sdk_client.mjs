// Vercel's AI SDK: its provider for OpenAI-compatible servers, and its provider for OpenAI for the other endpoints.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  Output,
  embedMany,
  generateSpeech,
  transcribe,
  generateImage,
  generateText,
  isStepCount,
  streamText,
  tool,
} from "ai";
import { z } from "zod";
import { API_KEY, BAD_KEY, BASE_URL, IMAGE_URL, LIMITED_KEY, PROMPT, caught, run, silence, weather } from "./cases.mjs";

const compatible = (apiKey) =>
  createOpenAICompatible({
    name: "trunkline",
    baseURL: BASE_URL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
const gateway = compatible(API_KEY);
const openai = createOpenAI({ baseURL: BASE_URL, apiKey: API_KEY });
const model = gateway("gpt-4.1");
const tools = {
  weather: tool({
    description: "The weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async (given) => weather(given),
  }),
};

async function toolRound(speaking) {
  const result = await generateText({ model: speaking, prompt: PROMPT, tools, stopWhen: isStepCount(2) });
  const [call] = result.steps[0].toolCalls;
  return [call.toolName, call.input, result.text];
}

await run({
  async plain() {
    const { text, usage } = await generateText({ model, prompt: PROMPT });
    return [text, usage.inputTokens, usage.outputTokens];
  },

  async stream() {
    const result = streamText({ model, prompt: PROMPT });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    const usage = await result.usage;
    return [text, usage.inputTokens, usage.outputTokens];
  },

  async tools() {
    return toolRound(model);
  },

  async tools_streamed() {
    const result = streamText({ model, prompt: PROMPT, tools });
    await result.consumeStream();
    const [call] = await result.toolCalls;
    return [call.toolName, call.input];
  },

  async structured() {
    const schema = z.object({ city: z.string(), degrees: z.int().min(1) });
    const { output } = await generateText({ model, prompt: PROMPT, output: Output.object({ schema }) });
    return { city: output.city, degrees: output.degrees };
  },

  async vision() {
    const content = [
      { type: "text", text: PROMPT },
      { type: "file", mediaType: "image/png", data: IMAGE_URL },
    ];
    const { text, usage } = await generateText({ model, messages: [{ role: "user", content }] });
    return [text, usage.inputTokens];
  },

  async embeddings() {
    const { embeddings } = await embedMany({
      model: gateway.embeddingModel("text-embedding-3-small"),
      values: ["one", "two"],
    });
    return embeddings.map((vector) => vector.length);
  },

  async responses() {
    const whole = await generateText({ model: openai("gpt-4.1"), prompt: PROMPT });
    const streamed = streamText({ model: openai("gpt-4.1"), prompt: PROMPT });
    return [whole.text, await streamed.text, (await streamed.usage).outputTokens];
  },

  async responses_tools() {
    return toolRound(openai("gpt-4.1"));
  },

  async images() {
    const made = await generateImage({ model: openai.image("gpt-image-1"), prompt: PROMPT });
    return made.image.uint8Array.length > 0;
  },

  async audio() {
    const transcript = await transcribe({ model: openai.transcription("whisper-1"), audio: silence() });
    const spoken = await generateSpeech({ model: openai.speech("tts-1"), text: PROMPT });
    return [transcript.text, spoken.audio.uint8Array.length];
  },

  async bad_key() {
    return caught(() => generateText({ model: compatible(BAD_KEY)("gpt-4.1"), prompt: PROMPT }));
  },

  async unknown_model() {
    return caught(() => generateText({ model: gateway("no-such-model"), prompt: PROMPT }));
  },

  async limited() {
    const hasty = compatible(LIMITED_KEY)("gpt-4.1");
    const ask = () => generateText({ model: hasty, prompt: PROMPT });
    return (await Promise.all([ask(), ask()])).map(({ text }) => text);
  },

  async failover() {
    return (await generateText({ model: gateway("failover"), prompt: PROMPT })).text;
  },
});
