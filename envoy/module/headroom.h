// The last reports of each target about its quotas, for operators. Bounded, and shared by all workers.

#pragma once

#include "advice.h"

// Records the quotas of an answer.
void headroom_take(uint64_t host, const struct left *quotas, size_t count, uint64_t now);
// Records a quota that was reported before this process began, unless the host has reported since.
void headroom_restore(uint64_t host, const struct left *quota, uint64_t now);
// Adds a line `h <host> <metric> <limit> <remaining> <ms until the reset>` for each quota whose reset is in the future
// or that was reported in the last minute.
void headroom_report(struct buffer *into, uint64_t now);
