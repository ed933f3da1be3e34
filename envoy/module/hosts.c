#include "hosts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum {
  ENOUGH = 3,  // failures in a row
  FIRST_REST_MS = 5000,
  LONGEST_REST_MS = 60000,
  ASKED_EVERY_MS = 1000,
  SETS = 1024,
  WAYS = 4,
};

struct record {
  uint64_t host;  // 0: free
  uint64_t used;  // counts up with every use
  unsigned confirmed, unreachable, rests;
  uint64_t rests_until;
  uint64_t asked;  // the last time that it was asked although it rested
};

static struct record records[SETS][WAYS];
static uint64_t uses;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Of records in use: while there is none, which is nearly always, nobody takes the lock.
static atomic_uint known;

// FNV-1a.
static uint64_t add_text(uint64_t hash, struct span text) {
  for (size_t at = 0; at < text.size; at++) hash = (hash ^ (unsigned char)text.data[at]) * 0x100000001B3u;
  return hash ? hash : 1;
}

uint64_t host_of_cluster(struct span name) { return add_text(0xCBF29CE484222325u, name); }

uint64_t host_of_node(uint64_t cluster, struct span node) { return add_text(add_text(cluster, SPAN("\n")), node); }

static struct record *find(uint64_t host) {
  struct record *set = records[(host ^ host >> 32) % SETS];
  for (int way = 0; way < WAYS; way++) {
    if (set[way].host != host) continue;
    set[way].used = ++uses;
    return &set[way];
  }
  return NULL;
}

static struct record *find_or_make(uint64_t host) {
  struct record *found = find(host);
  if (found) return found;
  struct record *set = records[(host ^ host >> 32) % SETS], *oldest = set;
  for (int way = 1; way < WAYS; way++) {
    if (set[way].used < oldest->used) oldest = &set[way];
  }
  if (!oldest->host) known++;
  *oldest = (struct record){.host = host, .used = ++uses};
  return oldest;
}

static void drop(struct record *record) {
  *record = (struct record){0};
  known--;
}

// What fails while the host rests began before, and says nothing new.
static void rest(struct record *record, uint64_t now) {
  if (now < record->rests_until) return;
  uint64_t time = (uint64_t)FIRST_REST_MS * ++record->rests;
  record->rests_until = now + (time < LONGEST_REST_MS ? time : LONGEST_REST_MS);
}

void hosts_confirm(const uint64_t *hosts, size_t count, uint64_t now) {
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < count; at++) {
    struct record *record = find_or_make(hosts[at]);
    if (++record->confirmed >= ENOUGH) rest(record, now);
  }
  pthread_mutex_unlock(&lock);
}

void hosts_unreachable(uint64_t host, uint64_t now) {
  pthread_mutex_lock(&lock);
  struct record *record = find_or_make(host);
  if (++record->unreachable >= ENOUGH) rest(record, now);
  pthread_mutex_unlock(&lock);
}

void hosts_answered(uint64_t host) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  if (record) {
    record->unreachable = 0;
    if (!record->confirmed) drop(record);
  }
  pthread_mutex_unlock(&lock);
}

void hosts_served(uint64_t host) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  if (record) drop(record);
  pthread_mutex_unlock(&lock);
}

bool hosts_rests(uint64_t host, uint64_t now) {
  if (!known) return false;
  pthread_mutex_lock(&lock);
  const struct record *record = find(host);
  bool rests = record && now < record->rests_until;
  pthread_mutex_unlock(&lock);
  return rests;
}

bool hosts_suspects(uint64_t host) {
  if (!known) return false;
  pthread_mutex_lock(&lock);
  const struct record *record = find(host);
  bool suspects = record && record->confirmed >= ENOUGH;
  pthread_mutex_unlock(&lock);
  return suspects;
}

bool hosts_may_ask(uint64_t host, uint64_t now) {
  if (!known) return true;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  bool may = !record || record->unreachable < ENOUGH || now - record->asked >= ASKED_EVERY_MS;
  if (may && record) record->asked = now;
  pthread_mutex_unlock(&lock);
  return may;
}

uint64_t hosts_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
