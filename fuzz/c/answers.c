// A target's answer: in pieces of any size, the same is counted and reported, and the client gets the same.

#include "fuzz.h"

static const size_t CLIENT = 3;  // which text of the driver's answer is what the client gets

static struct buffer read_answer(bool plain, bool asked, bool ends, struct span text, const uint32_t *seed) {
  struct buffer command = {0}, answer = {0};
  put_text(&command, plain ? SPAN("plain") : SPAN("events"));
  if (!plain) {
    put_number(&command, asked);
    put_number(&command, ends);
  }
  uint32_t sizes = seed ? *seed : 0;
  if (!seed) put_text(&command, text);
  while (seed && text.size) put_text(&command, take_piece(&text, &sizes));
  answers_driver(buffer_span(&command), &answer);
  buffer_free(&command);
  return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span text = {(const char *)data, size};
  uint8_t flags = take_byte(&text);
  uint32_t seed = take_byte(&text);
  bool plain = flags & 1, asked = flags & 2, ends = flags & 4;
  struct buffer whole = read_answer(plain, asked, ends, text, NULL);
  struct buffer split = read_answer(plain, asked, ends, text, &seed);
  HOLDS(text.size == 0 || span_is(buffer_span(&whole), buffer_span(&split)));
  struct span rest = buffer_span(&whole), client = NO_SPAN;
  for (size_t at = 0; at <= CLIENT; at++) client = next_text(&rest);
  if (!plain) {
    HOLDS(client.size <= text.size);
    HOLDS(asked || span_is(client, text));
  }
  buffer_free(&whole);
  buffer_free(&split);
  return 0;
}
