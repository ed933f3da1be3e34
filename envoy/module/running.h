// How many attempts run at each host that have no answer yet: a quota that a host's answers tell of does not show them.
// Counted from the first answer on that tells of any, and nothing before.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Begins to count.
void running_watch(void);
bool running_is_watched(void);
// Returns whether the attempt counts; then it has to end.
bool running_begin(uint64_t host);
void running_end(uint64_t host);
uint64_t running_count(uint64_t host);
