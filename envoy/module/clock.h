// The clock of deadlines and pauses.

#pragma once

#include <stdint.h>
#include <time.h>

// Returns milliseconds since an arbitrary moment; never goes back.
static inline int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
