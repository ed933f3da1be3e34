#include "response_id.h"

enum { LONGEST_ID = 200 };

static bool is_plain(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || byte == '_' ||
         byte == '-';
}

static bool is_blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n'; }

// The string behind a key that ends at `at`; nothing if it is none, or not whole yet.
static struct span value_at(struct span text, size_t at) {
  while (at < text.size && is_blank(text.data[at])) at++;
  if (at == text.size || text.data[at++] != ':') return NO_SPAN;
  while (at < text.size && is_blank(text.data[at])) at++;
  if (at == text.size || text.data[at++] != '"') return NO_SPAN;
  size_t end = at;
  while (end < text.size && is_plain(text.data[end])) end++;
  if (end == text.size || text.data[end] != '"' || end - at > LONGEST_ID) return NO_SPAN;
  return span_between(text, at, end);
}

// Ids of what may stand before the response's own: its conversation, and the parts of its output.
static bool is_of_a_part(struct span id) {
  static const struct span OTHERS[] = {SPAN("conv"), SPAN("msg_"), SPAN("rs_"),
                                       SPAN("fc_"),  SPAN("ws_"),  SPAN("pmpt_")};
  for (size_t at = 0; at < sizeof OTHERS / sizeof *OTHERS; at++) {
    if (span_begins(id, OTHERS[at])) return true;
  }
  return false;
}

struct span response_id(struct span text) {
  static const struct span KEY = SPAN("\"id\"");
  for (ptrdiff_t at = span_find(text, KEY, 0); at >= 0; at = span_find(text, KEY, (size_t)at + 1)) {
    struct span id = value_at(text, (size_t)at + KEY.size);
    if (id.size && !is_of_a_part(id)) return id;
  }
  return NO_SPAN;
}
