// Pointers by number: a hash table with open addressing. Numbers are never 0.

#pragma once

#include <stddef.h>
#include <stdint.h>

struct entry {
  uint64_t number;
  void *value;
};

struct table {
  struct entry *entries;
  size_t capacity, count;  // capacity: a power of two, at least twice the count
};

void table_put(struct table *table, uint64_t number, void *value);
void *table_find(const struct table *table, uint64_t number);
void table_remove(struct table *table, uint64_t number);
void table_free(struct table *table);
