#include "headroom.h"

#include <pthread.h>
#include <string.h>

// The least recently used host is forgotten first.
enum { MAX_HOSTS = 512, KEPT_MS = 60000 };

struct record {
  uint64_t host;  // 0: free
  uint64_t taken;  // when it was taken
  bool restored;
  size_t count;
  struct left quotas[MAX_LEFT];
};

static struct record records[MAX_HOSTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Returns the host's record, or else a free one or the oldest.
static struct record *find(uint64_t host) {
  struct record *found = &records[0];
  for (size_t at = 0; at < MAX_HOSTS; at++) {
    struct record *record = &records[at];
    if (record->host == host || !record->host) return record;
    if (record->taken < found->taken) found = record;
  }
  return found;
}

void headroom_take(uint64_t host, const struct left *quotas, size_t count, uint64_t now) {
  if (!count) return;
  pthread_mutex_lock(&lock);
  struct record *found = find(host);
  *found = (struct record){.host = host, .taken = now, .count = count};
  memcpy(found->quotas, quotas, count * sizeof *quotas);
  pthread_mutex_unlock(&lock);
}

void headroom_restore(uint64_t host, const struct left *quota, uint64_t now) {
  pthread_mutex_lock(&lock);
  struct record *found = find(host);
  if (found->host != host) *found = (struct record){.host = host, .taken = now, .restored = true};
  if (found->restored && found->count < MAX_LEFT) found->quotas[found->count++] = *quota;
  pthread_mutex_unlock(&lock);
}

static void report(struct buffer *into, const struct record *record, const struct left *left, uint64_t now) {
  uint64_t age = now - record->taken;
  if (age > (left->wait_ms > KEPT_MS ? left->wait_ms : KEPT_MS)) return;
  buffer_add(into, SPAN("h "));
  buffer_add_number(into, record->host);
  buffer_add(into, SPAN(" "));
  buffer_add(into, (struct span){left->metric, strlen(left->metric)});
  const uint64_t words[] = {left->limit, left->remaining, left->wait_ms > age ? left->wait_ms - age : 0};
  buffer_add_words(into, words, sizeof words / sizeof *words);
  buffer_add(into, SPAN("\n"));
}

void headroom_report(struct buffer *into, uint64_t now) {
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < MAX_HOSTS && records[at].host; at++) {
    for (size_t each = 0; each < records[at].count; each++) report(into, &records[at], &records[at].quotas[each], now);
  }
  pthread_mutex_unlock(&lock);
}
