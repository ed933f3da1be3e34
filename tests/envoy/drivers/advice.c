#include "advice.h"

#include "driver.h"

enum { MOST = 32 };

// <now, Unix ms> <requests and tokens needed> and pairs of a header's name and value → the wait in ms, and whether a
// quota is used up.
void advice_driver(struct span command, struct buffer *answer) {
  struct header headers[MOST];
  size_t count = 0;
  uint64_t now = next_number(&command);
  struct need need = {.requests = next_number(&command)};
  need.tokens = next_number(&command);
  while (has_next(&command) && count < MOST) {
    headers[count].key = next_text(&command);
    headers[count++].value = next_text(&command);
  }
  struct advice advice = advice_of(headers, count, need, now);
  put_number(answer, advice.wait_ms);
  put_number(answer, advice.exhausted);
}
