// Code shared by the module's fuzz targets. Each defines LLVMFuzzerTestOneInput; libFuzzer calls it, or standalone.c.

#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// An invariant that must hold for any input.
#define HOLDS(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                       \
    }                                                                                \
  } while (0)

// Takes the next byte off the input; 0 where there is none.
static inline uint8_t take_byte(struct span *input) {
  if (input->size == 0) return 0;
  uint8_t byte = (uint8_t)input->data[0];
  *input = span_from(*input, 1);
  return byte;
}

// Takes the next piece off `rest`. `seed` decides the sizes; from 0 on, each piece is one byte.
static inline struct span take_piece(struct span *rest, uint32_t *seed) {
  size_t size = 1;
  if (*seed) {
    *seed = *seed * 1664525u + 1013904223u;
    size = 1 + (*seed >> 16) % (1u << (*seed >> 28));
  }
  if (size > rest->size) size = rest->size;
  struct span piece = span_between(*rest, 0, size);
  *rest = span_from(*rest, size);
  return piece;
}
