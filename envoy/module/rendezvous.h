// Weighted rendezvous hashing: each candidate draws a number from a hash and its own name, and the lowest number wins.
// So each candidate wins its weight's share of all hashes. A candidate that leaves gives its hashes to all others and
// gets the same ones back when it returns; no other hash moves. No I/O.

#pragma once

#include <stdint.h>

// Returns the number that the candidate `name` draws; infinite if the weight is 0.
double rendezvous_draw(uint64_t hash, uint64_t name, double weight);
// Spreads a hash over all 64 bits.
uint64_t rendezvous_mix(uint64_t hash);
