// Removes a secret from text that passes in pieces. A star replaces each of its bytes, so lengths stay correct. The
// secret is found literally, in any of JSON's escapes, also of JSON inside of JSON, and percent-encoded, also across
// pieces. No I/O.

#pragma once

#include "bytes.h"

struct redactor {
  struct span secret;  // borrowed; if empty, nothing is done
  size_t rarest;  // the offset of its byte that is least likely in text
  bool changes_in_urls;  // it has bytes that URLs encode
  struct buffer pending;  // the end of the received text, which may be the beginning of the secret
};

// A shorter secret would be found by chance.
enum { SHORTEST_SECRET = 8 };

struct redactor redactor_of(struct span secret);
// Returns whether the bytes added to `passed` replace `chunk`. At most the beginning of one secret is held back, and
// nothing if the chunk does not end with one or is the `last`.
bool redact(struct redactor *redactor, struct span chunk, bool last, struct buffer *passed);
void redactor_free(struct redactor *redactor);
