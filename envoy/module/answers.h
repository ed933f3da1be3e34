// Looks for what a target's answer used, as it passes. No I/O: bytes in, bytes out.

#pragma once

#include "bytes.h"
#include "request.h"

enum answer_kind { ANSWER_IGNORED, ANSWER_PLAIN, ANSWER_EVENTS };

struct answer {
  enum answer_kind kind;
  struct buffer held;        // the end of what has passed, or an event that is not whole yet
  struct span delimiter;     // between events; not known before the first line ends
  uint64_t seen;             // bytes of the stream
};

// A plain answer: looks for its usage and holds nothing back.
void answer_plain(struct answer *answer, struct request *request, struct span chunk, bool last);
// A stream: counts its events and notes its usage. Where the gateway asked for usage and the client did not, the event
// that reports it is taken out: it has no choices, which many clients do not expect. True if `passed` stands for the
// chunk: then an event in pieces is held until it is whole.
bool answer_events(struct answer *answer, struct request *request, struct span chunk, struct buffer *passed);
void answer_free(struct answer *answer);
