// Looks for what a target's answer used, as it passes. No I/O: bytes in, bytes out, each looked at once, and what
// comes of them does not depend on the pieces that they come in.

#pragma once

#include "bytes.h"
#include "request.h"

enum answer_kind { ANSWER_IGNORED, ANSWER_PLAIN, ANSWER_EVENTS };

// Finds the usage objects in text that comes in pieces.
struct usage_finder {
  enum { USAGE_SOUGHT, USAGE_KEY, USAGE_COLON, USAGE_OBJECT } place;  // what has been read last
  size_t matched;            // bytes of the key that the last piece ended with
  size_t depth;              // of braces
  bool in_string, escaped;
  bool begun;                // an object has, since the last event
  struct buffer object;
};

struct answer {
  enum answer_kind kind;
  struct usage_finder usage;

  // Of a stream.
  // What is there of the last line; LINE_RETURN: "\r", LINE_COMMENT: it begins with a colon, as keep-alives do.
  enum { LINE_EMPTY, LINE_RETURN, LINE_COMMENT, LINE_TEXT } line;
  bool has_text;             // of the event that is not whole yet: one of its lines says something
  uint64_t size;             // bytes of it
  struct buffer held;        // it, where it may have to be hidden
  bool passing;              // or its first part, which is not held any more, has been passed
  bool done;                 // and it is `[DONE]`
  uint64_t seen;             // bytes of the stream
};

// A plain answer: notes its usage.
void answer_plain(struct answer *answer, struct request *request, struct span chunk);
// A stream: counts its events and notes its usage. Where the gateway asked for usage and the client did not, the event
// that reports it is taken out: it has no choices, which many clients do not expect. True if `passed` stands for the
// chunk: then an event in pieces is held until it is whole, or the `last` bytes of the stream are here.
bool answer_events(struct answer *answer, struct request *request, struct span chunk, bool last, struct buffer *passed);
void answer_free(struct answer *answer);
