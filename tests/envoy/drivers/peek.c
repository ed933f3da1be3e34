#include "peek.h"

#include "driver.h"

// json | events | model | refused, the text, whether it is whole → what it is, and for the first two its object.
void peek_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command), text = exact_copy(next_text(&command));
  bool whole = next_number(&command);
  if (span_is(what, SPAN("json"))) {
    put_number(answer, peek_json(text, whole));
    put_text(answer, peek_object_of(text));
  } else if (span_is(what, SPAN("events"))) {
    put_number(answer, peek_events(text, whole));
    put_text(answer, peek_event_object(text));
  } else if (span_is(what, SPAN("refused"))) {
    put_number(answer, peek_refused_model(text));
  } else {
    put_number(answer, peek_unknown_model(text));
  }
  free_copy(text);
}
