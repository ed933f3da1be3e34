// What of an answer's headers is for the client.

#pragma once

#include "abi.h"
#include "bytes.h"

// Removes every header that a client does not need, and what is left of them has no `secret` in it. The target's own id
// of the request is written to `id`: visible ASCII, at most 128 bytes, and empty if there is none.
void clean_headers(envoy_filter envoy, struct span secret, struct buffer *id);
// Trailers say nothing that a client needs.
void clean_trailers(envoy_filter envoy);
