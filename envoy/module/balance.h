// Chooses one of a pool's machines, of which there is at least one. No I/O.
//
// A request with an affinity goes to the machine that its hash prefers, unless that machine is saturated. A machine is
// not saturated while less than half of its free capacity is in use, or at most 1.5 times its share of all running
// requests. A saturated machine is skipped for the next one in the order of the hash. Any other request goes to the
// less busy of two machines that are drawn by weight.

#pragma once

#include <stddef.h>
#include <stdint.h>

struct machine {
  uint64_t name;    // the same whenever the machine returns
  uint64_t weight;  // 10 for each free request, times its owner's boost
  uint64_t active;  // requests running there
  size_t host;      // the caller's number of the machine
};

// Returns the index of the machine that the hash prefers and that is not saturated.
size_t balance_by_hash(const struct machine *machines, size_t count, uint64_t hash);
// Returns the index of the less busy one of two machines drawn by weight from `random`.
size_t balance_by_load(const struct machine *machines, size_t count, uint64_t random);
