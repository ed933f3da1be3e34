#include "redact.h"

#include "driver.h"

// The secret, and pieces of text → what passes of each.
void redact_driver(struct span command, struct buffer *answer) {
  struct redactor redactor = redactor_of(exact_copy(next_text(&command)));
  while (has_next(&command)) {
    struct span piece = exact_copy(next_text(&command));
    struct buffer passed = {0};
    bool replaced = redact(&redactor, piece, !has_next(&command), &passed);
    put_text(answer, replaced ? buffer_span(&passed) : piece);
    buffer_free(&passed);
    free_copy(piece);
  }
  free_copy(redactor.secret);
  redactor_free(&redactor);
}
