// Questions and answers as bytes; see link.h. No I/O.

#pragma once

#include "bytes.h"

enum frame_state { FRAME_WHOLE, FRAME_PARTIAL, FRAME_BAD };

struct reply {
  unsigned status;
  struct span head, body;
};

// A question without its body, which is added to the buffer, and then its end.
void frame_begin(struct buffer *question, struct span head);
void frame_end(struct buffer *question, uint64_t number);

// Takes the first frame off `rest`: what is behind its length.
enum frame_state frame_next(struct span *rest, struct span *frame);
// Of an answer that frame_next has given out.
uint64_t frame_number(struct span frame);
struct reply frame_reply(struct span frame);
