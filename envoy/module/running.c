#include "running.h"

#include <stdatomic.h>

// Hosts that share a place are counted together, so they are spared a little early.
enum { PLACES = 1024 };

static atomic_bool watched;
static atomic_uint counts[PLACES];

static atomic_uint *place(uint64_t host) { return &counts[(host ^ host >> 32) % PLACES]; }

void running_watch(void) {
  if (!watched) watched = true;
}

bool running_is_watched(void) { return watched; }

bool running_begin(uint64_t host) {
  if (!watched) return false;
  atomic_fetch_add(place(host), 1);
  return true;
}

void running_end(uint64_t host) { atomic_fetch_sub(place(host), 1); }

uint64_t running_count(uint64_t host) { return *place(host); }
