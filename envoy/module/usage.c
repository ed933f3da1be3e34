#include "usage.h"

// Takes off a JSON string, whose quote `text` begins with, and returns its raw content.
static struct span take_string(struct span *text) {
  size_t end = 1;
  while (end < text->size && text->data[end] != '"') end += text->data[end] == '\\' ? 2 : 1;
  if (end > text->size) end = text->size;
  struct span inside = span_between(*text, 1, end);
  *text = span_from(*text, end < text->size ? end + 1 : end);
  return inside;
}

static void skip_blanks(struct span *text) {
  while (text->size &&
         (text->data[0] == ' ' || text->data[0] == '\t' || text->data[0] == '\n' || text->data[0] == '\r')) {
    *text = span_from(*text, 1);
  }
}

// Finds a whole number that is a member of the object itself, not of one inside it.
static bool member(struct span object, struct span name, uint64_t *number) {
  size_t depth = 0, digits;
  while (object.size) {
    char byte = object.data[0];
    if (byte != '"') {
      depth += byte == '{' || byte == '[';
      if (depth) depth -= byte == '}' || byte == ']';
      object = span_from(object, 1);
      continue;
    }
    bool wanted = span_is(take_string(&object), name) && depth == 1;
    skip_blanks(&object);
    if (!wanted || !span_begins(object, SPAN(":"))) continue;
    object = span_from(object, 1);
    skip_blanks(&object);
    for (digits = 0; digits < object.size && object.data[digits] >= '0' && object.data[digits] <= '9';) digits++;
    return span_number(span_between(object, 0, digits), number);
  }
  return false;
}

static bool either(struct span object, struct span first, struct span second, uint64_t *number) {
  return member(object, first, number) || member(object, second, number);
}

bool usage_tokens(const struct facts *facts, uint64_t *tokens) {
  struct span last = buffer_span(&facts->reports[REPORT_USAGE].text);
  struct span start = buffer_span(&facts->reports[REPORT_START].text);
  const struct span in[] = {SPAN("prompt_tokens"), SPAN("input_tokens")};
  const struct span out[] = {SPAN("completion_tokens"), SPAN("output_tokens")};
  if (member(last, SPAN("total_tokens"), tokens)) return true;
  uint64_t prompt = 0, completion = 0;
  bool has_prompt = either(last, in[0], in[1], &prompt) || either(start, in[0], in[1], &prompt);
  bool has_completion = either(last, out[0], out[1], &completion);
  *tokens = prompt + completion;
  return has_prompt || has_completion;
}
