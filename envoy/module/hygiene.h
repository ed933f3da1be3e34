// What of an answer's headers is for the client, and what they say about the answer.

#pragma once

#include "abi.h"
#include "advice.h"
#include "answers.h"
#include "bytes.h"

struct head {
  unsigned status;        // 0 if it is not a number
  bool page;              // HTML
  bool empty;             // announces a body without bytes
  bool encoded;           // the body is not readable as it is
  enum answer_kind kind;  // by its content type
  char coding[LONGEST_WORD + 1];  // the first one; empty if it is longer
  char retry_after[12];           // seconds, or empty
  struct advice advice;           // of a 429, and of any answer that tells of a quota
  bool has_quota;
};

// Removes every header that a client does not need, and takes the `secret` out of the others. Writes the target's own id
// of the request to `id`: visible ASCII, at most 128 bytes, and empty if there is none. `need` is what has to be left of
// the target's quotas.
void clean_headers(envoy_filter envoy, struct span secret, struct need need, struct buffer *id, struct head *head);
// Trailers say nothing that a client needs.
void clean_trailers(envoy_filter envoy);
// `true` or `false`: OpenAI's clients wait for up to a minute. Asked to wait longer, they would try again at once.
struct span worth_waiting(uint64_t seconds);
