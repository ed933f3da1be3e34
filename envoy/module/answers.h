// Reads what a target's answer says about its cost while the answer passes. No I/O: bytes in, bytes out. Each byte is
// examined once, and the result does not depend on how the answer is split into pieces.

#pragma once

#include "beginning.h"
#include "bytes.h"
#include "request.h"
#include "scanner.h"

enum answer_kind { ANSWER_IGNORED, ANSWER_PLAIN, ANSWER_EVENTS };

struct answer {
  enum answer_kind kind;
  struct scanner scanner;

  // Used for streams.
  struct beginning beginning;  // of its events
  enum {
    LINE_EMPTY,
    LINE_COMMENT,  // begins with a colon, as keep-alives do
    LINE_FIELD,    // the `field` first bytes of "data:"
    LINE_COLON,    // "data:", which may be followed by one space
    LINE_DATA,     // its value
    LINE_OTHER,
  } line;
  size_t field;
  size_t mark;         // bytes of a byte order mark at the beginning of the stream
  bool returned;       // the last line ended with "\r", to which a "\n" may belong
  bool hidden;         // the client does not get the event before
  size_t matched;      // bytes of "[DONE]" that the event's data begins with; SIZE_MAX: it is something else
  bool has_data;       // the incomplete event has a data line
  uint64_t size;       // bytes of that event
  struct buffer held;  // the event, if it may have to be hidden
  bool passing;        // its first part has passed, and so will the rest
  bool done;           // its data is `[DONE]`
  uint64_t text;       // bytes of generated text before the event
  uint64_t seen;       // bytes of the stream
};

// Returns how an answer with this `content-type` is read.
enum answer_kind answer_kind(struct span content_type);
// Returns whether an answer with this `content-encoding` can be read as it is.
bool answer_is_plain(struct span coding);
// Reads a piece of a plain answer.
void answer_plain(struct answer *answer, struct request *request, struct span chunk);
// Reads a piece of a stream and counts its events. If the client did not request usage, an event that reports usage and
// has nothing else for the client is removed. Returns whether `passed` replaces the chunk: an incomplete event is held
// until it is complete or the `last` bytes of the stream have arrived.
bool answer_events(struct answer *answer, struct request *request, struct span chunk, bool last, struct buffer *passed);
void answer_free(struct answer *answer);
