#include "frames.h"

#include <string.h>

enum {
  SIZE = 4,
  NUMBER = 8,
  KIND = 1,
  STATUS = 2,
  ANSWER = NUMBER + STATUS + SIZE,  // the fixed part of every answer
  LONGEST_ANSWER = 1 << 20,
};

static void put(char *at, uint64_t value, int bytes) {
  for (int byte = 0; byte < bytes; byte++) at[byte] = (char)(value >> 8 * byte);
}

static uint64_t get(const char *at, int bytes) {
  uint64_t value = 0;
  for (int byte = 0; byte < bytes; byte++) value |= (uint64_t)(unsigned char)at[byte] << 8 * byte;
  return value;
}

void frame_begin(struct buffer *frame, enum frame_kind kind, struct span head, size_t body) {
  char start[SIZE + NUMBER + KIND + SIZE] = {0};
  put(start + SIZE + NUMBER, kind, KIND);
  put(start + SIZE + NUMBER + KIND, head.size, SIZE);
  buffer_reserve(frame, sizeof start + head.size + body);
  buffer_add(frame, (struct span){start, sizeof start});
  buffer_add(frame, head);
}

void frame_end(struct buffer *frame, uint64_t number) {
  put(frame->data, frame->size - SIZE, SIZE);
  put(frame->data + SIZE, number, NUMBER);
}

enum frame_state frame_next(struct span *rest, struct span *frame) {
  if (rest->size < SIZE) return FRAME_PARTIAL;
  uint64_t size = get(rest->data, SIZE);
  if (size < ANSWER || size > LONGEST_ANSWER) return FRAME_BAD;
  if (rest->size < SIZE + size) return FRAME_PARTIAL;
  *frame = span_between(*rest, SIZE, SIZE + size);
  if (get(frame->data + NUMBER + STATUS, SIZE) > size - ANSWER) return FRAME_BAD;
  *rest = span_from(*rest, SIZE + size);
  return FRAME_WHOLE;
}

uint64_t frame_number(struct span frame) { return get(frame.data, NUMBER); }

struct reply frame_reply(struct span frame) {
  size_t head = get(frame.data + NUMBER + STATUS, SIZE);
  return (struct reply){
      .status = (unsigned)get(frame.data + NUMBER, STATUS),
      .head = span_between(frame, ANSWER, ANSWER + head),
      .body = span_from(frame, ANSWER + head),
  };
}

bool reply_beginning(struct span body, size_t *replaced, struct span *text) {
  if (body.size < SIZE) return false;
  *replaced = get(body.data, SIZE);
  *text = span_from(body, SIZE);
  return true;
}
