// Copies an answer as it passes, for the translator that asked for it: the whole answer, or word that there is none.
// Bounded for each answer and for all of them together.

#pragma once

#include "connection.h"
#include "headers.h"
#include "request.h"

enum {
  // Bytes of the longest answer that is copied; one answer of the translator's can hold it.
  LONGEST_COPY = 960 * 1024,
  // Bytes of all copies that are being made, and wait to be written.
  MOST_COPIES = 64 * 1024 * 1024,
  LONGEST_TOKEN = 128,
};

struct copy {
  enum {
    COPY_NONE,
    COPY_AWAITED,
    COPY_RUNNING,
    COPY_UNFIT,  // no success, not readable, or too long
  } state;
  uint64_t held;  // bytes that count among all copies
  struct buffer body, kind;
  size_t token_size;
  char token[LONGEST_TOKEN];
};

// From here on `copy_end` says what became of the answer.
void copy_expect(struct copy *copy, struct span token);
// The head of the client's answer; `last`: it has no body.
void copy_headers(struct copy *copy, envoy_filter envoy, bool last);
void copy_body(struct copy *copy, envoy_filter envoy);
// With `whole`, all of the answer has passed. Does nothing the second time.
void copy_end(struct copy *copy, bool whole, const struct request *request, struct connection *const lanes[2],
              uint64_t number);
