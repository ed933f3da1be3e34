// Borrowed bytes (span), and bytes of our own that grow (buffer).

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// The layout in which Envoy's ABI passes buffers.
struct span {
  const char *data;
  size_t size;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define NO_SPAN ((struct span){NULL, 0})

struct buffer {
  char *data;
  size_t size, capacity;
};

// Short functions are inline.
static inline bool span_is(struct span text, struct span other) {
  return text.size == other.size && (text.size == 0 || memcmp(text.data, other.data, text.size) == 0);
}

static inline bool span_begins(struct span text, struct span prefix) {
  return text.size >= prefix.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

// Adding anything to a null pointer, even 0, is undefined.
static inline struct span span_between(struct span text, size_t start, size_t end) {
  return (struct span){start ? text.data + start : text.data, end - start};
}

static inline struct span span_from(struct span text, size_t start) { return span_between(text, start, text.size); }

static inline struct span buffer_span(const struct buffer *buffer) { return (struct span){buffer->data, buffer->size}; }

// Ignores case; `prefix` is in lower case.
bool span_begins_any_case(struct span text, struct span prefix);
// Returns the first offset of `needle` in `text` at or after `from`; -1 if there is none.
ptrdiff_t span_find(struct span text, struct span needle, size_t from);
// Takes everything before the first `separator` off `text`, and the separator; all of it if there is none.
struct span span_next(struct span *text, char separator);
// Parses a decimal number; returns false for anything else, or for more than 18 digits.
bool span_number(struct span text, uint64_t *number);

// Ends the process if there is no memory, as Envoy does everywhere.
void *allocate(size_t size);
void buffer_add(struct buffer *buffer, struct span data);
void buffer_add_number(struct buffer *buffer, uint64_t number);
// Adds each number, preceded by a space.
void buffer_add_words(struct buffer *buffer, const uint64_t *numbers, size_t count);
void buffer_reserve(struct buffer *buffer, size_t more);
void buffer_free(struct buffer *buffer);
