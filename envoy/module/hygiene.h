// Decides which of an answer's headers reach the client, and reads the facts in them.

#pragma once

#include "abi.h"
#include "advice.h"
#include "answers.h"
#include "bytes.h"

struct head {
  unsigned status;        // 0 if it is not a number
  bool page;              // HTML
  bool empty;             // announces an empty body
  bool encoded;           // the body cannot be read as it is
  enum answer_kind kind;  // by its content type
  char coding[LONGEST_WORD + 1];  // the first coding; empty if its name is too long
  char retry_after[12];           // seconds, or empty
  struct advice advice;           // from a 429, and from any answer that reports a quota
  bool has_quota;
};

// Removes every header that clients do not need, and the `secret` from the others. Writes the target's id of the
// request to `id`: visible ASCII, at most 128 bytes, empty if there is none. `need` is what has to be left of the
// target's quotas.
void clean_headers(envoy_filter envoy, struct span secret, struct need need, struct buffer *id, struct head *head);
// Removes all trailers: clients need none of them.
void clean_trailers(envoy_filter envoy);
// Returns `true` or `false`. OpenAI's clients wait for up to a minute. Asked to wait longer, they would retry at
// once.
struct span worth_waiting(uint64_t seconds);
