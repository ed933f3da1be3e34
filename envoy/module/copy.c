#include "copy.h"

#include <string.h>

#include "answers.h"
#include "held.h"

enum { LONGEST_KIND = 256 };

static struct count held_copies;

void copy_expect(struct copy *copy, struct span token) {
  if (!token.size || token.size > sizeof copy->token) return;
  memcpy(copy->token, token.data, token.size);
  copy->token_size = token.size;
  copy->state = COPY_AWAITED;
}

static void drop(struct copy *copy) {
  count_give(&held_copies, copy->held);
  copy->held = 0;
  buffer_free(&copy->body);
  buffer_free(&copy->kind);
}

void copy_headers(struct copy *copy, envoy_filter envoy, bool last) {
  if (copy->state != COPY_AWAITED) return;
  copy->state = COPY_UNFIT;
  if (last || !span_is(header_get(envoy, RESPONSE_HEADERS, SPAN(":status")), SPAN("200"))) return;
  if (!answer_is_plain(header_get(envoy, RESPONSE_HEADERS, SPAN("content-encoding")))) return;
  struct span kind = header_get(envoy, RESPONSE_HEADERS, SPAN("content-type"));
  if (kind.size > LONGEST_KIND) return;
  buffer_add(&copy->kind, kind);
  copy->state = COPY_RUNNING;
}

// Takes a piece if there is room.
static bool take(struct copy *copy, struct span piece) {
  if (piece.size > LONGEST_COPY - copy->body.size) return false;
  if (!count_take(&held_copies, piece.size, MAX_COPIES)) return false;
  copy->held += piece.size;
  buffer_add(&copy->body, piece);
  return true;
}

void copy_body(struct copy *copy, envoy_filter envoy) {
  if (copy->state != COPY_RUNNING) return;
  struct slices slices;
  body_slices(envoy, RECEIVED_RESPONSE, &slices);
  bool room = true;
  for (size_t at = 0; room && at < slices.count; at++) room = take(copy, slices.all[at]);
  slices_free(&slices);
  if (room) return;
  drop(copy);
  copy->state = COPY_UNFIT;
}

static void add_line(struct buffer *head, struct span text) {
  buffer_add(head, text);
  buffer_add(head, SPAN("\n"));
}

void copy_end(struct copy *copy, bool whole, const struct request *request, struct connection *const lanes[2],
              uint64_t number) {
  if (copy->state == COPY_NONE) return;
  bool passed = whole && copy->state == COPY_RUNNING;
  struct buffer head = {0}, frame = {0};
  add_line(&head, (struct span){copy->token, copy->token_size});
  add_line(&head, passed ? SPAN("whole") : copy->state == COPY_UNFIT ? SPAN("none") : SPAN("cut"));
  add_line(&head, passed ? buffer_span(&copy->kind) : NO_SPAN);
  add_line(&head, passed ? buffer_span(&request->target) : NO_SPAN);
  if (passed) facts_write(&request->facts, &head);
  struct span body = passed ? buffer_span(&copy->body) : NO_SPAN;
  frame_begin(&frame, FRAME_COPY, buffer_span(&head), body.size);
  buffer_add(&frame, body);
  buffer_free(&head);
  connection_send_notice(lanes[body.size > 0 ? LANE_LONG : LANE_SHORT], number, frame);
  drop(copy);
  copy->state = COPY_NONE;
}
