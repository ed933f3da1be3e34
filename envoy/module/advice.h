// When a target that refused a request may be asked again, according to its headers. No I/O, no clock.

#pragma once

#include "abi.h"

enum { SHORTEST_WAIT_MS = 1000, LONGEST_WAIT_MS = 600000 };

enum { LONGEST_METRIC = 32, MAX_LEFT = 6 };

// The remainder of one quota.
struct left {
  char metric[LONGEST_METRIC];  // such as `tokens` or `requests-day`: letters, digits and `-`
  uint64_t limit;               // 0: not stated
  uint64_t remaining, wait_ms;  // until its reset; 0: not stated
};

struct advice {
  uint64_t wait_ms;  // within the two bounds; 0: not stated
  bool exhausted;    // a quota of the whole account is used up, or nearly
  size_t quota_count;
  struct left quotas[MAX_LEFT];
};

// The required remainder of a quota; with less, the quota counts as used up.
struct need {
  uint64_t requests;
  uint64_t tokens;  // only if less than a twentieth of the limit is left as well
};

// Returns whether a header is about a quota, such as `x-ratelimit-remaining-tokens`.
bool advice_is_of_quota(struct span key);

// Reads the advice from `retry-after-ms`, `retry-after` (seconds or a date), or else from the reset of a quota of which
// less than `need` remains. Example: `x-ratelimit-remaining-tokens: 0` with `x-ratelimit-reset-tokens: 6m0s`. A quota
// whose limit is 0 or whose remainder is not a number is ignored. `unix_ms` is the current time.
struct advice advice_of(const struct header *headers, size_t count, struct need need, uint64_t unix_ms);
