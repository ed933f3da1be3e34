#define _GNU_SOURCE  // memmem

#include "bytes.h"

#include <stdlib.h>
#include <string.h>

bool span_begins_any_case(struct span text, struct span prefix) {
  if (text.size < prefix.size) return false;
  for (size_t at = 0; at < prefix.size; at++) {
    char byte = text.data[at];
    if ((byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte) != prefix.data[at]) return false;
  }
  return true;
}

ptrdiff_t span_find(struct span text, struct span needle, size_t from) {
  if (from > text.size || text.size - from < needle.size) return -1;
  const char *found = memmem(text.data + from, text.size - from, needle.data, needle.size);
  return found ? found - text.data : -1;
}

struct span span_next(struct span *text, char separator) {
  const char *found = text->size ? memchr(text->data, separator, text->size) : NULL;
  struct span first = *text;
  if (found) first.size = (size_t)(found - text->data);
  *text = span_from(*text, found ? first.size + 1 : first.size);
  return first;
}

bool span_number(struct span text, uint64_t *number) {
  if (text.size == 0 || text.size > 18) return false;
  uint64_t value = 0;
  for (size_t at = 0; at < text.size; at++) {
    if (text.data[at] < '0' || text.data[at] > '9') return false;
    value = value * 10 + (uint64_t)(text.data[at] - '0');
  }
  *number = value;
  return true;
}

void *allocate(size_t size) {
  void *memory = malloc(size);
  if (!memory) abort();
  return memory;
}

void buffer_reserve(struct buffer *buffer, size_t more) {
  if (buffer->capacity - buffer->size >= more) return;
  if (more > SIZE_MAX / 4) abort();  // a negative length
  // The first reservation of a large buffer is usually its last, so it is exact.
  size_t capacity = buffer->capacity ? buffer->capacity * 2 : more > 256 ? more : 256;
  while (capacity - buffer->size < more) capacity *= 2;
  buffer->data = realloc(buffer->data, capacity);
  if (!buffer->data) abort();
  buffer->capacity = capacity;
}

void buffer_add(struct buffer *buffer, struct span data) {
  if (data.size == 0) return;
  buffer_reserve(buffer, data.size);
  memcpy(buffer->data + buffer->size, data.data, data.size);
  buffer->size += data.size;
}

void buffer_add_number(struct buffer *buffer, uint64_t number) {
  char text[20];
  size_t at = sizeof text;
  do {
    text[--at] = (char)('0' + number % 10);
  } while (number /= 10);
  buffer_add(buffer, (struct span){text + at, sizeof text - at});
}

void buffer_add_words(struct buffer *buffer, const uint64_t *numbers, size_t count) {
  for (size_t at = 0; at < count; at++) {
    buffer_add(buffer, SPAN(" "));
    buffer_add_number(buffer, numbers[at]);
  }
}

void buffer_free(struct buffer *buffer) {
  free(buffer->data);
  *buffer = (struct buffer){0};
}
