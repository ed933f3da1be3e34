// Follows a target's answer as it passes, for what it says about its cost. No I/O: bytes in, bytes out, each looked at
// once, and what comes of them does not depend on the pieces that they come in.

#pragma once

#include "beginning.h"
#include "bytes.h"
#include "request.h"
#include "scanner.h"

enum answer_kind { ANSWER_IGNORED, ANSWER_PLAIN, ANSWER_EVENTS };

struct answer {
  enum answer_kind kind;
  struct scanner scanner;

  // Of a stream.
  struct beginning beginning;  // of its events
  enum {
    LINE_EMPTY,
    LINE_RETURN,   // "\r" and nothing else yet
    LINE_COMMENT,  // it begins with a colon, as keep-alives do
    LINE_FIELD,    // the `field` first bytes of "data:"
    LINE_COLON,    // "data:", which one space may follow
    LINE_DATA,     // its value
    LINE_OTHER,
  } line;
  size_t field;
  size_t matched;      // bytes of "[DONE]" at the start of the event's data; SIZE_MAX: it is something else
  bool has_data;       // the event that is not whole yet has a line of it
  uint64_t size;       // bytes of that event
  struct buffer held;  // it, where it may have to be hidden
  bool passing;        // its first part has been passed, and the rest will be
  bool done;           // its data is `[DONE]`
  uint64_t text;       // bytes of generated text before it
  uint64_t seen;       // bytes of the stream
};

// What an answer with this `content-type` is followed as.
enum answer_kind answer_kind(struct span content_type);
// Whether an answer with this `content-encoding` is readable as it is.
bool answer_is_plain(struct span coding);
// A plain answer.
void answer_plain(struct answer *answer, struct request *request, struct span chunk);
// A stream: counts its events too. Where the client did not ask for usage, an event that reports it and has nothing
// else for the client is taken out. Returns whether `passed` stands for the chunk: an event in pieces is held until it
// is whole, or the `last` bytes of the stream are here.
bool answer_events(struct answer *answer, struct request *request, struct span chunk, bool last, struct buffer *passed);
void answer_free(struct answer *answer);
