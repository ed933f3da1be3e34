// Frames and answers as bytes; see connection.h. No I/O.

#pragma once

#include "bytes.h"

enum frame_state { FRAME_WHOLE, FRAME_PARTIAL, FRAME_BAD };

struct reply {
  unsigned status;
  struct span head, body;
};

enum frame_kind {
  FRAME_WHOLE_CHECK = 1,
  FRAME_HEAD_CHECK,
  FRAME_END_NOTICE,
  FRAME_COPY,
  FRAME_RESPONSE_CREATED,
  FRAME_RUNNING,
  FRAME_TURNED_AWAY,
  FRAME_LET_IN
};

// Begins a frame in an empty buffer, to which `body` bytes may be added before the end.
void frame_begin(struct buffer *frame, enum frame_kind kind, struct span head, size_t body);
void frame_end(struct buffer *frame, uint64_t number);

// Takes the first frame off `rest`, without its length.
enum frame_state frame_next(struct span *rest, struct span *frame);
// Returns the number of an answer from frame_next.
uint64_t frame_number(struct span frame);
struct reply frame_reply(struct span frame);
// Splits the body of an answer that lets a request pass: `text` replaces the first `replaced` bytes of the request's
// body.
bool reply_beginning(struct span body, size_t *replaced, struct span *text);
