// OpenAI's Codex CLI, run as in a script: `codex exec`.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { API_KEY, BAD_KEY, BASE_URL, IMAGE_URL, LIMITED_KEY, PROMPT, run } from "./cases.mjs";

const CODEX = fileURLToPath(new URL("./node_modules/.bin/codex", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "codex-"));
const home = join(directory, "home");
const work = join(directory, "work");
mkdirSync(home);
mkdirSync(work);

// Older versions call the header with the session's id `session_id`; here it is a header of the provider's.
writeFileSync(
  join(home, "config.toml"),
  `model_provider = "trunkline"
[model_providers.trunkline]
name = "Trunkline"
base_url = "${BASE_URL}"
env_key = "TRUNKLINE_API_KEY"
wire_api = "responses"
http_headers = { session_id = "a-session" }
`,
);

// Runs one turn; returns its events and exit code.
async function turn(options = [], { model = "gpt-4.1", key = API_KEY } = {}) {
  const words = ["exec", "--skip-git-repo-check", "--json", "-m", model, ...options, "--", PROMPT];
  const child = spawn(CODEX, words, {
    cwd: work,
    env: { ...process.env, CODEX_HOME: home, TRUNKLINE_API_KEY: key },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (data) => (output += data));
  child.stderr.resume();
  const code = await new Promise((resolve) => child.on("close", resolve));
  const events = output.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return { code, events };
}

function items({ events }, type) {
  return events.filter((event) => event.type === "item.completed" && event.item.type === type).map((event) => event.item);
}

function text(made) {
  const [message] = items(made, "agent_message");
  if (message === undefined) throw new Error(JSON.stringify(made));
  return message.text;
}

// The exit code of a failing turn, and the gateway's status if Codex prints it.
async function failed(options) {
  const once = ["-c", "model_providers.trunkline.stream_max_retries=0"];
  const made = await turn(once, options);
  const [failure] = made.events.filter((event) => event.type === "turn.failed");
  const status = /unexpected status (\d+)/.exec(failure.error.message);
  return [`exit code ${made.code}`, status && Number(status[1])];
}

await run({
  async responses() {
    return [text(await turn())];
  },

  // The provider requests a command, and answers when it gets the command's output.
  async responses_tools() {
    const made = await turn();
    const [command] = items(made, "command_execution");
    return [command.command.split(" ").at(-1), text(made)];
  },

  // Tries a WebSocket first.
  async websocket() {
    const made = await turn(["-c", "model_providers.trunkline.supports_websockets=true"]);
    return [text(made), made.events.filter((event) => event.type === "error").length];
  },

  async structured() {
    const schema = join(directory, "schema.json");
    const properties = { city: { type: "string" }, degrees: { type: "integer" } };
    const required = Object.keys(properties);
    writeFileSync(schema, JSON.stringify({ type: "object", properties, required, additionalProperties: false }));
    return JSON.parse(text(await turn(["--output-schema", schema])));
  },

  async vision() {
    const image = join(directory, "image.png");
    writeFileSync(image, Buffer.from(IMAGE_URL.split(",")[1], "base64"));
    return [text(await turn(["-i", image]))];
  },

  async bad_key() {
    return failed({ key: BAD_KEY });
  },

  async unknown_model() {
    return failed({ model: "no-such-model" });
  },

  // A turn makes two requests.
  async limited() {
    return [text(await turn([], { key: LIMITED_KEY }))];
  },

  async failover() {
    return text(await turn([], { model: "failover" }));
  },
});
