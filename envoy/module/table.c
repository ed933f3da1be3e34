#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { FIRST_CAPACITY = 64 };

static size_t home(const struct table *table, uint64_t number) {
  return (size_t)(number * 0x9E3779B97F4A7C15u >> 32) & (table->capacity - 1);
}

static struct entry *slot(const struct table *table, uint64_t number) {
  size_t at = home(table, number);
  while (table->entries[at].number && table->entries[at].number != number) at = (at + 1) & (table->capacity - 1);
  return &table->entries[at];
}

static void grow(struct table *table) {
  struct table larger = {.capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY, .count = table->count};
  larger.entries = allocate(larger.capacity * sizeof *larger.entries);
  memset(larger.entries, 0, larger.capacity * sizeof *larger.entries);
  for (size_t at = 0; at < table->capacity; at++) {
    if (table->entries[at].number) *slot(&larger, table->entries[at].number) = table->entries[at];
  }
  free(table->entries);
  *table = larger;
}

void table_put(struct table *table, uint64_t number, void *value) {
  if ((table->count + 1) * 2 > table->capacity) grow(table);
  *slot(table, number) = (struct entry){number, value};
  table->count++;
}

void *table_find(const struct table *table, uint64_t number) {
  return table->capacity ? slot(table, number)->value : NULL;
}

void table_remove(struct table *table, uint64_t number) {
  if (!table->capacity) return;
  size_t mask = table->capacity - 1, hole = (size_t)(slot(table, number) - table->entries);
  if (!table->entries[hole].number) return;
  table->count--;
  // Following entries that could no longer be found across the hole move into it.
  for (size_t at = (hole + 1) & mask; table->entries[at].number; at = (at + 1) & mask) {
    size_t wanted = home(table, table->entries[at].number);
    if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
    table->entries[hole] = table->entries[at];
    hole = at;
  }
  table->entries[hole] = (struct entry){0};
}

void table_free(struct table *table) {
  free(table->entries);
  *table = (struct table){0};
}
