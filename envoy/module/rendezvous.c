#include "rendezvous.h"

#include <math.h>

enum { FRACTION_BITS = 32 };

// splitmix64.
uint64_t rendezvous_mix(uint64_t hash) {
  hash += 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9u;
  hash = (hash ^ hash >> 27) * 0x94D049BB133111EBu;
  return hash ^ hash >> 31;
}

// Computes -log2(`number` / 2^64) without the mathematical library: digit by digit, by squaring the mantissa.
static double minus_log2(uint64_t number) {
  number |= 1;
  unsigned lead = (unsigned)__builtin_clzll(number);
  uint64_t mantissa = number << lead >> (63 - FRACTION_BITS), fraction = 0;  // 1 to 2, with FRACTION_BITS after the 1
  for (int bit = FRACTION_BITS - 1; bit >= 0; bit--) {
    // At most 33 bits, whose square would not fit into 64.
    uint64_t half = mantissa >> 1;
    mantissa = half * half >> (FRACTION_BITS - 2);
    if (mantissa >> (FRACTION_BITS + 1)) {
      mantissa >>= 1;
      fraction |= (uint64_t)1 << bit;
    }
  }
  return (double)(lead + 1) - (double)fraction / (double)((uint64_t)1 << FRACTION_BITS);
}

double rendezvous_draw(uint64_t hash, uint64_t name, double weight) {
  if (weight <= 0) return INFINITY;
  return minus_log2(rendezvous_mix(hash ^ rendezvous_mix(name))) / weight;
}
