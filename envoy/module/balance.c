#include "balance.h"

#include <math.h>
#include <stdbool.h>

#include "rendezvous.h"

enum { WEIGHT_OF_A_REQUEST = 10 };

// A machine's weight follows its load. Only a change by a factor of four moves conversations.
static double lasting(uint64_t weight) {
  double step = 1;
  while (weight >= 4) weight /= 4, step *= 4;
  return step;
}

// Returns whether one more request would exceed both half of the machine's free capacity and 1.5 times its share.
static bool is_saturated(const struct machine *machine, uint64_t weights, uint64_t active) {
  double next = (double)machine->active + 1;
  if (next * 2 * WEIGHT_OF_A_REQUEST <= (double)machine->weight) return false;
  return next * 2 * (double)weights > 3 * (double)machine->weight * ((double)active + 1);
}

size_t balance_by_hash(const struct machine *machines, size_t count, uint64_t hash) {
  uint64_t weights = 0, active = 0;
  for (size_t at = 0; at < count; at++) {
    weights += machines[at].weight;
    active += machines[at].active;
  }
  size_t best = count, fallback = 0;
  double lowest = INFINITY, lowest_of_all = INFINITY;
  for (size_t at = 0; at < count; at++) {
    double draw = rendezvous_draw(hash, machines[at].name, lasting(machines[at].weight));
    if (draw < lowest_of_all) lowest_of_all = draw, fallback = at;
    if (is_saturated(&machines[at], weights, active)) continue;
    if (draw < lowest) lowest = draw, best = at;
  }
  return best < count ? best : fallback;
}

size_t balance_by_load(const struct machine *machines, size_t count, uint64_t random) {
  size_t first = 0, second = count;
  double lowest = INFINITY, next = INFINITY;
  for (size_t at = 0; at < count; at++) {
    double draw = rendezvous_draw(random, machines[at].name, (double)machines[at].weight);
    if (draw < lowest) {
      if (at) second = first, next = lowest;
      first = at, lowest = draw;
    } else if (draw < next) {
      second = at, next = draw;
    }
  }
  if (second == count) return first;
  double busy = (double)(machines[first].active + 1) / (double)machines[first].weight;
  double other = (double)(machines[second].active + 1) / (double)machines[second].weight;
  return other < busy ? second : first;
}
