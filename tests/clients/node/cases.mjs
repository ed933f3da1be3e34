// Runs the cases of one JavaScript client and prints each one's result as a line of JSON.
export const { BASE_URL, API_KEY, LIMITED_KEY } = process.env;
export const BAD_KEY = "sk-nobody-has-this-one";
export const PROMPT = "hello there";
// One pixel, as a PNG.
export const IMAGE_URL =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const weather = ({ city }) => `It rains in ${city}.`;

// A second of silence, as a WAV file.
export function silence() {
  const file = Buffer.alloc(44 + 16000);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + 16000, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(8000, 24);
  file.writeUInt32LE(16000, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(16000, 40);
  return file;
}

// Calls a function that must fail; returns the error's class and its status.
export async function caught(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status ?? error.statusCode ?? null];
  }
  return ["nothing", null];
}

// Runs the functions of an object in order. A failing one does not stop the next ones.
export async function run(cases) {
  for (const [name, call] of Object.entries(cases)) {
    try {
      console.log(JSON.stringify({ case: name, result: await call() }));
    } catch (error) {
      console.log(JSON.stringify({ case: name, error: String(error?.stack ?? error) }));
    }
  }
}
