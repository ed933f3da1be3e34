// Chooses one of a pool's machines, of which there is at least one. No I/O.
//
// A request with an affinity goes to the machine that its hash prefers, as long as that machine is not saturated: it
// has less than half of its free capacity in use, or at most 1.5 times its share of all that runs. A saturated machine
// is passed over for the next in the order of the hash. Every other request goes to the less busy of two machines that
// are drawn by weight.

#pragma once

#include <stddef.h>
#include <stdint.h>

struct machine {
  uint64_t name;    // stable while the machine comes and goes
  uint64_t weight;  // 10 for each free request, times its owner's boost
  uint64_t active;  // requests that run there
  size_t host;      // the caller's own number of it
};

// The place in `machines` of the one that the hash prefers and that is not saturated.
size_t balance_by_hash(const struct machine *machines, size_t count, uint64_t hash);
// Of two machines drawn by weight from `random`, the less busy one.
size_t balance_by_load(const struct machine *machines, size_t count, uint64_t random);
