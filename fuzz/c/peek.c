// The beginning of an answer: what is decided early stays decided, and all of it decides.

#include "peek.h"

#include "fuzz.h"

typedef enum peek (*peek_at)(struct span, bool);

static void check_steady(peek_at look, struct span text) {
  enum peek decided = PEEK_MORE;
  for (size_t size = 0; size <= text.size; size++) {
    struct span part = exact_copy(span_between(text, 0, size));
    enum peek now = look(part, false);
    HOLDS(decided == PEEK_MORE || now == decided);
    HOLDS(look(part, true) != PEEK_MORE);
    decided = now;
    free((char *)part.data);
  }
  HOLDS(decided == PEEK_MORE || look(text, true) == decided);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 512) return 0;  // each of its beginnings is looked at
  struct span text = exact_copy((struct span){(const char *)data, size});
  check_steady(peek_json, text);
  check_steady(peek_events, text);
  struct span object = peek_event_object(text);
  HOLDS(!object.size || (object.data >= text.data && object.data + object.size <= text.data + text.size));
  (void)peek_unknown_model(text);
  (void)peek_refused_model(text);
  free((char *)text.data);
  return 0;
}
