#include "bytes.h"

#include <stdlib.h>

#include "driver.h"

// find <text> <needle> <from> | parts <separator> <text> | number <text> | begins <text> <prefix>
void bytes_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command);
  if (span_is(what, SPAN("find"))) {
    struct span text = exact_copy(next_text(&command)), needle = next_text(&command);
    ptrdiff_t found = span_find(text, needle, next_number(&command));
    if (found >= 0) put_number(answer, (uint64_t)found);
    free((char *)text.data);
  } else if (span_is(what, SPAN("parts"))) {
    char separator = next_text(&command).data[0];
    struct span text = exact_copy(next_text(&command)), rest = text;
    do put_text(answer, span_next(&rest, separator));
    while (rest.size);
    free((char *)text.data);
  } else if (span_is(what, SPAN("number"))) {
    struct span text = exact_copy(next_text(&command));
    uint64_t number;
    if (span_number(text, &number)) put_number(answer, number);
    free((char *)text.data);
  } else if (span_is(what, SPAN("begins"))) {
    struct span text = exact_copy(next_text(&command)), prefix = next_text(&command);
    put_number(answer, span_begins(text, prefix));
    free((char *)text.data);
  }
}
