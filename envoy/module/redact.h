// Takes a secret out of text that passes in pieces: a star stands for each of its bytes, so that lengths stay right. It is
// found as it is and in any of JSON's escapes, also where pieces meet. No I/O.

#pragma once

#include "bytes.h"

struct redactor {
  struct span secret;  // not owned; without bytes nothing is done
  size_t rarest;  // where in it the byte stands that is least likely in text
  struct buffer pending;  // the end of what has come, which may be the beginning of the secret
};

// A secret that is so short would be found by chance.
enum { SHORTEST_SECRET = 8 };

struct redactor redactor_of(struct span secret);
// Returns whether what it adds to `passed` stands for `chunk`. At most the beginning of one secret is kept back, and
// nothing where the chunk does not end with one or is the `last`.
bool redact(struct redactor *redactor, struct span chunk, bool last, struct buffer *passed);
void redactor_free(struct redactor *redactor);
