// Examines the first bytes of an answer before the client gets its headers: is it an answer, or an error with the
// status of an answer? No I/O.

#pragma once

#include "bytes.h"

// Most bytes held until that is clear; then the answer passes.
enum { LONGEST_PEEK = 4096 };

enum peek {
  PEEK_MORE,  // not clear yet
  PEEK_ANSWER,  // an answer, which passes
  PEEK_ERROR,  // an error, or empty
};

enum form {
  FORM_UNCLEAR,  // the text is too short
  FORM_JSON,
  FORM_EVENTS,
  FORM_OTHER,
};

// Returns the form of a text by its first bytes, regardless of its content type. Never unclear if it is `whole`.
enum form peek_form(struct span text, bool whole);
// Judges a plain JSON answer. `text` begins with its first byte, and is all of it if `whole`. An error is an object
// that contains an error and no member of an endpoint's answer: {"error": {…}} is one, {"error": null, "output": …} is
// not.
enum peek peek_json(struct span text, bool whole);
// Returns the text from the object on that peek_json judged; empty if there is none.
struct span peek_object_of(struct span text);
// Judges a stream. Keep-alives show that the target is working, so they pass at once.
enum peek peek_events(struct span text, bool whole);
// Returns the JSON object of the error that peek_events found; empty if it has none.
struct span peek_event_object(struct span text);
// Returns whether a 404 with this body says that the target does not know its model, rather than that the client asked
// for something that does not exist. The wordings are those of OpenAI, Azure, vLLM, Ollama, llama.cpp, TGI, Groq,
// Fireworks, Together, OpenRouter and Anthropic.
bool peek_unknown_model(struct span text);
// Returns the same of a 400, which most often is the client's own fault: only whole members and sentences count, as
// DeepSeek, Mistral, OpenRouter and Bedrock write them.
bool peek_refused_model(struct span text);
// Returns whether a 401 with this body says that the credential may not do what the request asks for, rather than that
// it is refused altogether: OpenAI's restricted keys lack scopes, Azure's principals lack permissions.
bool peek_lacks_permission(struct span text);
