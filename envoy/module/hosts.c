#include "hosts.h"

#include <pthread.h>
#include <stdatomic.h>

#include "clock.h"

enum { SETS = 1024, WAYS = 4 };

struct record {
  uint64_t host;  // 0: free
  uint64_t used;  // increases with every use
  struct rest rest;
};

static struct record records[SETS][WAYS];
static uint64_t uses;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// The number of records in use. While there are none, which is nearly always, no one takes the lock.
static atomic_uint known;

// FNV-1a.
static uint64_t add_text(uint64_t hash, struct span text) {
  for (size_t at = 0; at < text.size; at++) hash = (hash ^ (unsigned char)text.data[at]) * 0x100000001B3u;
  return hash ? hash : 1;
}

uint64_t host_of_cluster(struct span name) { return add_text(0xCBF29CE484222325u, name); }

uint64_t host_of_node(uint64_t cluster, struct span node) { return add_text(add_text(cluster, SPAN("\n")), node); }

// The prefix keeps credentials distinct from clusters of any name.
uint64_t host_of_credential(struct span name) { return add_text(host_of_cluster(SPAN("\n")), name); }

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

static void drop_if_over(struct record *record, uint64_t now) {
  if (!rest_is_over(&record->rest, now)) return;
  *record = (struct record){0};
  known--;
}

void hosts_confirm(const uint64_t *hosts, size_t count, uint64_t now) {
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < count; at++) rest_confirm(&find_or_make(hosts[at])->rest, now);
  pthread_mutex_unlock(&lock);
}

void hosts_unreachable(uint64_t host, uint64_t now) {
  pthread_mutex_lock(&lock);
  rest_unreachable(&find_or_make(host)->rest, now);
  pthread_mutex_unlock(&lock);
}

void hosts_answered(uint64_t host, uint64_t now) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  if (record) {
    rest_answered(&record->rest, now);
    drop_if_over(record, now);
  }
  pthread_mutex_unlock(&lock);
}

void hosts_served(uint64_t host, struct caller caller, bool probe, uint64_t now) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  if (record) {
    rest_served(&record->rest, caller, probe, now);
    drop_if_over(record, now);
  }
  pthread_mutex_unlock(&lock);
}

bool hosts_pause(uint64_t host, const struct pause *pause, uint64_t now) {
  pthread_mutex_lock(&lock);
  bool begins = rest_pause(&find_or_make(host)->rest, pause, now);
  pthread_mutex_unlock(&lock);
  return begins;
}

void hosts_adopt(uint64_t host, const struct foreign_pause *pause, uint64_t now) {
  pthread_mutex_lock(&lock);
  rest_adopt(&find_or_make(host)->rest, pause, now);
  pthread_mutex_unlock(&lock);
}

void hosts_away(uint64_t host) {
  pthread_mutex_lock(&lock);
  rest_away(&find_or_make(host)->rest);
  pthread_mutex_unlock(&lock);
}

void hosts_back(uint64_t host, uint64_t now) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  if (record) rest_back(&record->rest, now);
  pthread_mutex_unlock(&lock);
}

bool hosts_are_open(void) { return !known; }

enum host_state hosts_state(uint64_t host, struct caller caller, uint64_t random, uint64_t now) {
  if (!known) return HOST_OPEN;
  pthread_mutex_lock(&lock);
  const struct record *record = find(host);
  enum host_state state = record ? rest_state(&record->rest, caller, random, now) : HOST_OPEN;
  pthread_mutex_unlock(&lock);
  return state;
}

bool hosts_enter(uint64_t host, struct caller caller, uint64_t random, uint64_t now, bool *probe) {
  *probe = false;
  if (!known) return true;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  enum host_state state = record ? rest_state(&record->rest, caller, random, now) : HOST_OPEN;
  *probe = state == HOST_TRICKLES;
  if (*probe) record->rest.probed_until = now + PROBE_MS;
  pthread_mutex_unlock(&lock);
  return state <= HOST_TRICKLES;
}

uint64_t hosts_paused_until(uint64_t host) {
  pthread_mutex_lock(&lock);
  const struct record *record = find(host);
  uint64_t until = record ? record->rest.paused_until : 0;
  pthread_mutex_unlock(&lock);
  return until;
}

bool hosts_suspects(uint64_t host) {
  if (!known) return false;
  pthread_mutex_lock(&lock);
  const struct record *record = find(host);
  bool suspects = record && rest_suspects(&record->rest);
  pthread_mutex_unlock(&lock);
  return suspects;
}

bool hosts_may_ask(uint64_t host, uint64_t now) {
  if (!known) return true;
  pthread_mutex_lock(&lock);
  struct record *record = find(host);
  bool may = !record || rest_may_ask(&record->rest, now);
  pthread_mutex_unlock(&lock);
  return may;
}

static void report(struct buffer *into, uint64_t host, const struct rest *rest, uint64_t now) {
  bool refused = rest->cause == 401 || rest->cause == 402 || rest->cause == 403 || rest->cause == 498;
  bool paused = rest->paused_until && (now < rest->paused_until || refused) && rest->reach != REACH_CALLER;
  bool rests = now < rest->rests_until;
  if (!paused && !rests && !rest->away) return;
  uint64_t until = paused ? rest->paused_until : rests ? rest->rests_until : now;
  uint64_t since = paused ? rest->paused_since : rests ? rest->rests_since : now;
  buffer_add(into, SPAN("r"));
  unsigned other = rests ? CAUSE_FAILURES : CAUSE_HEALTH;
  bool for_all = !paused || rest->reach == REACH_ALL || rest->breadth == BREADTH_ORGANISATION;
  uint64_t left = until > now ? until - now : 0;
  const uint64_t words[] = {host, paused ? rest->cause : other, for_all, now - since, left};
  buffer_add_words(into, words, sizeof words / sizeof *words);
  buffer_add(into, SPAN("\n"));
}

static void report_pause(struct buffer *into, uint64_t host, const struct rest *rest, uint64_t now) {
  if (now >= rest->paused_until) return;
  const struct caller *caller = &rest->caller;
  const uint64_t words[] = {host,
                            rest->foreign,
                            rest->cause,
                            rest->reach,
                            rest->breadth,
                            rest->stated,
                            caller->organisation,
                            caller->key,
                            caller->user,
                            rest->pauses,
                            now - rest->paused_since,
                            rest->paused_until - now};
  buffer_add(into, SPAN("p"));
  buffer_add_words(into, words, sizeof words / sizeof *words);
  buffer_add(into, SPAN("\n"));
}

static void report_all(struct buffer *into, uint64_t now,
                       void (*add)(struct buffer *, uint64_t, const struct rest *, uint64_t)) {
  if (!known) return;
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < (size_t)SETS * WAYS; at++) {
    const struct record *record = &records[at / WAYS][at % WAYS];
    if (record->host) add(into, record->host, &record->rest, now);
  }
  pthread_mutex_unlock(&lock);
}

void hosts_report(struct buffer *into, uint64_t now) { report_all(into, now, report); }

void hosts_report_pauses(struct buffer *into, uint64_t now) { report_all(into, now, report_pause); }

uint64_t hosts_now(void) { return (uint64_t)monotonic_ms(); }
