#include "answers.h"

#include <stdlib.h>

#include "driver.h"

// readable <content-encoding> → 0 or 1 | kind <content type> → plain, events or ignored |
// plain <piece> … | events <asked for usage: 0 or 1> <whether the last piece ends the stream> <piece> …
// → events, their bytes, facts, for events what the client gets, and the id of the response that is made.
void answers_driver(struct span command, struct buffer *output) {
  struct span what = next_text(&command);
  if (span_is(what, SPAN("readable"))) {
    put_number(output, answer_is_plain(next_text(&command)));
    return;
  }
  if (span_is(what, SPAN("kind"))) {
    enum answer_kind kind = answer_kind(next_text(&command));
    put_text(output, kind == ANSWER_PLAIN ? SPAN("plain") : kind == ANSWER_EVENTS ? SPAN("events") : SPAN("ignored"));
    return;
  }
  bool plain = span_is(what, SPAN("plain")), ends = false;
  struct answer answer = {0};
  struct request request = {.facts.wants_id = true};
  struct buffer client = {0}, passed = {0};
  if (!plain) {
    request.wants_usage = next_number(&command);
    ends = next_number(&command);
  }
  while (has_next(&command)) {
    struct span piece = exact_copy(next_text(&command));
    if (plain) {
      answer_plain(&answer, &request, piece);
    } else {
      bool replaced = answer_events(&answer, &request, piece, ends && !has_next(&command), &passed);
      buffer_add(&client, replaced ? buffer_span(&passed) : piece);
      passed.size = 0;
    }
    free((char *)piece.data);
  }
  put_number(output, request.events);
  put_number(output, request.event_bytes);
  struct buffer facts = {0};
  facts_write(&request.facts, &facts);
  put_text(output, buffer_span(&facts));
  put_text(output, buffer_span(&client));
  put_text(output, buffer_span(&request.facts.id));
  buffer_free(&client);
  buffer_free(&passed);
  buffer_free(&facts);
  facts_free(&request.facts);
  answer_free(&answer);
}
