// When a target that refused a request wants to be asked again, by its headers. No I/O, no clock.

#pragma once

#include "abi.h"

enum { SHORTEST_WAIT_MS = 1000, LONGEST_WAIT_MS = 600000 };

struct advice {
  uint64_t wait_ms;  // within the two bounds; 0 where nothing was said
  bool exhausted;    // a quota of the whole account is used up
};

// By `retry-after-ms`, `retry-after` (seconds or a date), or else by the reset of a quota of which nothing remains,
// such as `x-ratelimit-remaining-tokens: 0` with `x-ratelimit-reset-tokens: 6m0s`. `unix_ms` is now.
struct advice advice_of(const struct header *headers, size_t count, uint64_t unix_ms);
