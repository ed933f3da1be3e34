// Copies an answer as it passes, for the translator that asked for it: the whole answer, or a note that there is none.
// Bounded for each answer and for all answers together.

#pragma once

#include "connection.h"
#include "headers.h"
#include "request.h"

enum {
  // Most bytes of a copied answer; one cached answer of the translator can contain it.
  LONGEST_COPY = 960 * 1024,
  // Most bytes of all copies that are being made or wait to be sent.
  MAX_COPIES = 64 * 1024 * 1024,
  LONGEST_TOKEN = 128,
};

struct copy {
  enum {
    COPY_NONE,
    COPY_AWAITED,
    COPY_RUNNING,
    COPY_UNFIT,  // not successful, not readable, or too long
  } state;
  uint64_t held;  // bytes counted among all copies
  struct buffer body, kind;
  size_t token_size;
  char token[LONGEST_TOKEN];
};

// From here on, `copy_end` reports the result of the copy.
void copy_expect(struct copy *copy, struct span token);
// Takes the head of the client's answer; `last` says that it has no body.
void copy_headers(struct copy *copy, envoy_filter envoy, bool last);
void copy_body(struct copy *copy, envoy_filter envoy);
// Ends the copy; `whole` says that the whole answer has passed. Does nothing the second time.
void copy_end(struct copy *copy, bool whole, const struct request *request, struct connection *const lanes[2],
              uint64_t number);
