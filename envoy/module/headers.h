// Headers and bodies of a stream, through Envoy's callbacks.

#pragma once

#include "abi.h"

static inline struct span header_get(envoy_filter filter, int type, struct span key) {
  struct span value = NO_SPAN;
  CALLBACK(http_get_header)(filter, type, key, &value, 0, NULL);
  return value;
}

static inline void header_set(envoy_filter filter, int type, struct span key, struct span value) {
  CALLBACK(http_set_header)(filter, type, key, value.data ? value : SPAN(""));
}

static inline void header_set_number(envoy_filter filter, int type, struct span key, uint64_t number) {
  struct buffer text = {0};
  buffer_add_number(&text, number);
  header_set(filter, type, key, buffer_span(&text));
  buffer_free(&text);
}

static inline void header_remove(envoy_filter filter, int type, struct span key) {
  CALLBACK(http_set_header)(filter, type, key, NO_SPAN);
}

// All headers of a stream, as Envoy stores them; valid until one is changed.
struct header_list {
  struct header few[64], *all;
  size_t count;
};

void header_list(envoy_filter filter, int type, struct header_list *list);
// Returns the first value of a header; empty if it is missing.
struct span header_of(const struct header_list *list, struct span key);
void header_list_free(struct header_list *list);

// Headers in lines of `name: value`.
struct header_lines {
  struct header few[16], *all;
  size_t count;
};

// Splits `text`; the headers point into it.
void header_lines(struct span text, struct header_lines *lines);
void header_lines_free(struct header_lines *lines);
// Sets each header of a text of such lines.
void headers_set(envoy_filter filter, int type, struct span text);

// A body as Envoy stores it, in pieces; valid until it is changed.
struct slices {
  struct span few[16], *all;
  size_t count;
};

void body_slices(envoy_filter filter, int type, struct slices *slices);
void slices_free(struct slices *slices);
// Appends a copy of a body to `into`.
void body_copy(envoy_filter filter, int type, struct buffer *into);
// Replaces what was just received.
void body_replace(envoy_filter filter, int type, struct span data);
