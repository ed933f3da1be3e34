// A target's text that may quote the gateway's credential: however it comes, the credential is starred out, and nothing
// else changes.

#include "redact.h"

#include "fuzz.h"

enum { MAX_SECRET = 40 };

static struct buffer redacted(struct span secret, struct span text, const uint32_t *seed) {
  struct redactor redactor = redactor_of(secret);
  struct buffer all = {0};
  uint32_t sizes = seed ? *seed : 0;
  bool last;
  do {
    struct span piece = exact_copy(seed ? take_piece(&text, &sizes) : text);
    if (!seed) text = NO_SPAN;
    last = text.size == 0;
    struct buffer passed = {0};
    bool replaced = redact(&redactor, piece, last, &passed);
    buffer_add(&all, replaced ? buffer_span(&passed) : piece);
    buffer_free(&passed);
    free((char *)piece.data);
  } while (!last);
  HOLDS(redactor.pending.size == 0);
  redactor_free(&redactor);
  return all;
}

// The input with two of its bytes put for the secret, as it is and escaped, for by chance it would not be there.
static struct buffer quoted(struct span input, struct span secret) {
  struct buffer text = {0};
  for (size_t at = 0; at < input.size; at++) {
    uint8_t byte = (uint8_t)input.data[at];
    if (byte == 0xFF) {
      buffer_add(&text, secret);
    } else if (byte == 0xFE) {
      for (size_t next = 0; next < secret.size; next++) {
        char escape[8];
        int size = snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)secret.data[next]);
        buffer_add(&text, (struct span){escape, (size_t)size});
      }
    } else {
      buffer_add(&text, span_between(input, at, at + 1));
    }
  }
  return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span input = {(const char *)data, size};
  uint32_t seed = take_byte(&input);
  size_t length = SHORTEST_SECRET + take_byte(&input) % (MAX_SECRET - SHORTEST_SECRET);
  if (length > input.size) return 0;
  struct span secret = span_between(input, 0, length);
  for (size_t at = 0; at < length; at++) {
    if (secret.data[at] <= ' ' || secret.data[at] > '~' || secret.data[at] == '*') return 0;  // no credential has it
  }
  struct buffer made = quoted(span_from(input, length), secret);
  struct span text = buffer_span(&made);
  struct buffer whole = redacted(secret, text, NULL), split = redacted(secret, text, &seed);
  HOLDS(span_is(buffer_span(&whole), buffer_span(&split)));
  HOLDS(whole.size == text.size);
  for (size_t at = 0; at < text.size; at++) HOLDS(whole.data[at] == text.data[at] || whole.data[at] == '*');
  HOLDS(span_find(buffer_span(&whole), secret, 0) == -1);
  buffer_free(&made);
  buffer_free(&whole);
  buffer_free(&split);
  return 0;
}
