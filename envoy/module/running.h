// Counts the running attempts at each host without an answer, which a quota in the host's answers does not include yet.
// Counting begins with the first answer that reports a quota.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Begins to count.
void running_watch(void);
bool running_is_watched(void);
// Returns whether the attempt is counted; then it must be ended.
bool running_begin(uint64_t host);
void running_end(uint64_t host);
uint64_t running_count(uint64_t host);
