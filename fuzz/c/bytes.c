// Compares the small functions that all parsers use with plainer ones that do the same.

#include "bytes.h"

#include "fuzz.h"

static ptrdiff_t find(struct span text, struct span needle, size_t from) {
  for (size_t at = from; at + needle.size <= text.size; at++) {
    if (needle.size == 0 || memcmp(text.data + at, needle.data, needle.size) == 0) return (ptrdiff_t)at;
  }
  return -1;
}

static bool is_number(struct span text) {
  if (text.size < 1 || text.size > 18) return false;
  for (size_t at = 0; at < text.size; at++) {
    if (!strchr("0123456789", text.data[at]) || !text.data[at]) return false;
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span input = {(const char *)data, size};
  size_t needle_size = take_byte(&input) % 8, from = take_byte(&input);
  char separator = (char)take_byte(&input);
  if (needle_size > input.size) needle_size = input.size;
  struct span needle = exact_copy(span_between(input, 0, needle_size));
  struct span text = exact_copy(span_from(input, needle_size));

  HOLDS(span_find(text, needle, from) == find(text, needle, from));
  HOLDS(span_begins(text, needle) == (find(text, needle, 0) == 0));
  HOLDS(span_is(text, text) && (span_is(text, needle) == (text.size == needle.size && span_begins(text, needle))));

  uint64_t number = 0;
  bool decimal = span_number(text, &number);
  HOLDS(decimal == is_number(text));
  if (decimal) {
    char digits[24];
    memcpy(digits, text.data, text.size);
    digits[text.size] = 0;
    HOLDS(number == strtoull(digits, NULL, 10));
  }

  struct buffer joined = {0};
  struct span rest = text;
  while (rest.size) {
    struct span part = span_next(&rest, separator);
    HOLDS(find(part, (struct span){&separator, 1}, 0) == -1);
    buffer_add(&joined, part);
    if (joined.size < text.size) buffer_add(&joined, (struct span){&separator, 1});
  }
  HOLDS(span_is(buffer_span(&joined), text));
  buffer_free(&joined);
  free((char *)needle.data);
  free((char *)text.data);
  return 0;
}
