// Looks at the first bytes of an answer before the client sees its headers: is it one, or an error with the status of an
// answer? No I/O.

#pragma once

#include "bytes.h"

// Until it is clear, so much is held at most; then the answer passes.
enum { LONGEST_PEEK = 4096 };

enum peek {
  PEEK_MORE,  // it is not clear yet
  PEEK_ANSWER,  // it passes
  PEEK_ERROR,  // an error, or nothing at all
};

// A plain JSON answer. `text` is what is there from its first byte on, and all of it if it is `whole`. An error is an
// object that has one and nothing else that an endpoint answers with: {"error": {…}} is, {"error": null, "output": …}
// is not.
enum peek peek_json(struct span text, bool whole);
// From the object on that peek_json has looked at; empty if there is none.
struct span peek_object_of(struct span text);
// A stream. Keep-alives say that the target is at work, so they pass at once.
enum peek peek_events(struct span text, bool whole);
// The JSON object of the error that peek_events has found; empty if it has none.
struct span peek_event_object(struct span text);
// Whether a 404 with this body says that the target does not know its model, and not that the client asked for
// something that does not exist. The wordings are those of OpenAI, Azure, vLLM, Ollama, llama.cpp, TGI, Groq,
// Fireworks, Together and OpenRouter.
bool peek_unknown_model(struct span text);
