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
  FRAME_RUNNING
};

// Begins a frame in an empty buffer. `body` bytes may be added to the buffer before its end.
void frame_begin(struct buffer *frame, enum frame_kind kind, struct span head, size_t body);
void frame_end(struct buffer *frame, uint64_t number);

// Takes the first frame off `rest`: what is behind its length.
enum frame_state frame_next(struct span *rest, struct span *frame);
// Of an answer that frame_next has given out.
uint64_t frame_number(struct span frame);
struct reply frame_reply(struct span frame);
// Of the body of an answer that lets a request pass: how many bytes of the request's body `text` takes the place of.
bool reply_beginning(struct span body, size_t *replaced, struct span *text);
