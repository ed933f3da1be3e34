#include "frames.h"

#include <stdlib.h>

#include "driver.h"

// check <number> <kind> <head> <body> → its bytes | answers <bytes> → number, status, head and body of each whole one, then
// the state behind them and how many bytes are left.
void frames_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command);
  if (span_is(what, SPAN("check"))) {
    uint64_t number = next_number(&command);
    struct buffer check = {0};
    enum frame_kind kind = (enum frame_kind)next_number(&command);
    struct span head = next_text(&command), body = next_text(&command);
    frame_begin(&check, kind, head, body.size);
    buffer_add(&check, body);
    frame_end(&check, number);
    put_text(answer, buffer_span(&check));
    buffer_free(&check);
  } else if (span_is(what, SPAN("answers"))) {
    struct span text = exact_copy(next_text(&command)), rest = text, frame;
    enum frame_state state;
    while ((state = frame_next(&rest, &frame)) == FRAME_WHOLE) {
      struct reply reply = frame_reply(frame);
      put_number(answer, frame_number(frame) % 1000000000000000000);
      put_number(answer, reply.status);
      put_text(answer, reply.head);
      put_text(answer, reply.body);
    }
    put_text(answer, state == FRAME_PARTIAL ? SPAN("partial") : SPAN("bad"));
    put_number(answer, rest.size);
    free((char *)text.data);
  }
}
