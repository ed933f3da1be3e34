// What each target's answers said last about its quotas, for an operator who asks. Bounded; all workers share it.

#pragma once

#include "advice.h"

// Takes in what an answer said.
void headroom_take(uint64_t host, const struct left *quotas, size_t count, uint64_t now);
// Adds a line `h <host> <metric> <limit> <remaining> <ms until the reset>` for each quota whose reset is not past, or
// that was told of in the last minute.
void headroom_report(struct buffer *into, uint64_t now);
