// Chooses a machine of a pool for every attempt, as Envoy's load balancing policy; see balance.h. One instance for each
// pool and worker.

#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "balance.h"
#include "hosts.h"
#include "rendezvous.h"
#include "request.h"

// Most machines examined for one request: those that follow its hash on a ring. In a smaller pool, all of them.
enum { WINDOW = 64 };

// The least weight of a machine whose share grows back: one request, which takes half of what is free.
enum { LEAST_WEIGHT = 20 };

struct seat {
  bool away;  // it was not healthy at the last look
  uint64_t back;  // when it became healthy again; 0 once its share is whole
  uint64_t name;  // the host's name, by its address
  size_t host;  // the host's number in Envoy
};

struct pool {
  struct seat *seats;  // sorted by name
  size_t count;
  bool seated;  // up to date since the hosts changed
  uint64_t random;  // the state of a random generator
};

static const struct span POLICY = SPAN("pool");

static int by_name(const void *left, const void *right) {
  const struct seat *one = left, *other = right;
  return one->name < other->name ? -1 : one->name > other->name;
}

// Copies the state of the machines that stay. Both lists are sorted by name.
static void remember(struct pool *pool, const struct seat *before, size_t count) {
  for (size_t at = 0, old = 0; at < pool->count; at++) {
    while (old < count && before[old].name < pool->seats[at].name) old++;
    if (old == count || before[old].name != pool->seats[at].name) continue;
    pool->seats[at].away = before[old].away;
    pool->seats[at].back = before[old].back;
  }
}

static void seat_hosts(envoy_balancer envoy, struct pool *pool) {
  struct seat *before = pool->seats;
  size_t count = pool->count;
  pool->count = CALLBACK(lb_get_hosts_count)(envoy, 0);
  pool->seats = allocate((pool->count + 1) * sizeof *pool->seats);
  for (size_t host = 0; host < pool->count; host++) {
    struct span address = NO_SPAN;
    CALLBACK(lb_get_host_address)(envoy, 0, host, &address);
    pool->seats[host] = (struct seat){.name = rendezvous_mix(host_of_cluster(address)), .host = host};
  }
  qsort(pool->seats, pool->count, sizeof *pool->seats, by_name);
  remember(pool, before, count);
  free(before);
  pool->seated = true;
}

// Returns the first seat whose name is not below `number`.
static size_t seat_at(const struct pool *pool, uint64_t number) {
  size_t low = 0, high = pool->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (pool->seats[middle].name < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low < pool->count ? low : 0;
}

// Envoy numbers the healthy hosts separately from all hosts.
static uint32_t number_among_healthy(envoy_balancer envoy, size_t host) {
  if (CALLBACK(lb_get_healthy_hosts_count)(envoy, 0) == CALLBACK(lb_get_hosts_count)(envoy, 0)) return (uint32_t)host;
  uint32_t before = 0;
  for (size_t at = 0; at < host; at++) before += CALLBACK(lb_get_host_health)(envoy, 0, at) == HOST_HEALTHY;
  return before;
}

// Returns the request's affinity; empty if it has none.
static struct span affinity_of(envoy_selection selection) {
  struct span text = NO_SPAN;
  if (selection) CALLBACK(lb_context_get_downstream_header)(selection, AFFINITY_HEADER, &text, 0, NULL);
  return text;
}

// Returns whether this is the machine to which a request is bound: a tunnel's address ends with its id.
static bool is_machine(struct span address, struct span id) {
  return address.size > id.size && address.data[address.size - id.size - 1] == '/' &&
         span_is(span_from(address, address.size - id.size), id);
}

// Chooses the machine to which a request is bound, under any load.
static bool choose_machine(envoy_balancer envoy, struct span id, uint32_t *number) {
  size_t count = CALLBACK(lb_get_hosts_count)(envoy, 0);
  for (size_t host = 0; host < count; host++) {
    struct span address = NO_SPAN;
    CALLBACK(lb_get_host_address)(envoy, 0, host, &address);
    if (!is_machine(address, id)) continue;
    *number = number_among_healthy(envoy, host);
    return CALLBACK(lb_get_host_health)(envoy, 0, host) == HOST_HEALTHY;
  }
  // A machine that is reached directly is known by its address only. If it stands alone, it is the one.
  struct span address = NO_SPAN;
  if (count != 1 || !CALLBACK(lb_get_host_address)(envoy, 0, 0, &address)) return false;
  *number = 0;
  return span_find(address, SPAN("/"), 0) < 0 && CALLBACK(lb_get_host_health)(envoy, 0, 0) == HOST_HEALTHY;
}

// Returns the machine's weight, which is smaller while its share grows back after an ejection or a lost lease.
static uint64_t weight_of(struct seat *seat, uint64_t weight) {
  if (!seat->away && !seat->back) return weight;
  uint64_t now = hosts_now();
  if (seat->away) seat->away = false, seat->back = now;
  uint64_t shown = weight * rest_share(seat->back, now) / WHOLE_SHARE;
  if (shown >= weight) seat->back = 0;
  // Less than room for one request would count as no room at all (balance.c).
  uint64_t least = weight < LEAST_WEIGHT ? weight : LEAST_WEIGHT;
  return shown > least ? shown : least;
}

// Examines the seats from `start` on. If `fresh`, hosts of earlier attempts are left out.
static size_t look(envoy_balancer envoy, envoy_selection selection, struct pool *pool, size_t start, bool fresh,
                   struct machine *machines) {
  size_t count = 0;
  for (size_t seen = 0; seen < pool->count && count < WINDOW; seen++) {
    struct seat *seat = &pool->seats[(start + seen) % pool->count];
    size_t host = seat->host;
    if (CALLBACK(lb_get_host_health)(envoy, 0, host) != HOST_HEALTHY) {
      seat->away = true;
      continue;
    }
    if (fresh && selection && CALLBACK(lb_context_should_select_another_host)(envoy, selection, 0, host)) continue;
    machines[count++] = (struct machine){
        .name = seat->name,
        .weight = weight_of(seat, CALLBACK(lb_get_host_weight)(envoy, 0, host)),
        .active = CALLBACK(lb_get_host_stat)(envoy, 0, host, HOST_REQUESTS_ACTIVE),
        .host = host,
    };
  }
  return count;
}

HOOK_EXPORT const void *HOOK(lb_config_new)(envoy_config envoy, struct span name, struct span text) {
  (void)envoy;
  return span_is(name, POLICY) && text.size == 0 ? &POLICY : NULL;
}

HOOK_EXPORT void HOOK(lb_config_destroy)(const void *config) { (void)config; }

HOOK_EXPORT const void *HOOK(lb_new)(const void *config, envoy_balancer envoy) {
  (void)config, (void)envoy;
  struct pool *pool = allocate(sizeof *pool);
  *pool = (struct pool){.random = hosts_now() ^ (uint64_t)(uintptr_t)pool};
  return pool;
}

HOOK_EXPORT void HOOK(lb_on_host_membership_update)(envoy_balancer envoy, const void *pool, size_t added,
                                                    size_t removed) {
  (void)envoy, (void)added, (void)removed;
  ((struct pool *)pool)->seated = false;
}

HOOK_EXPORT bool HOOK(lb_choose_host)(envoy_balancer envoy, const void *config, envoy_selection selection,
                                      uint32_t *priority, uint32_t *number) {
  struct pool *pool = (struct pool *)config;
  // Envoy may renumber hosts without changing their count, but never without announcing it.
  if (!pool->seated || pool->count != CALLBACK(lb_get_hosts_count)(envoy, 0)) seat_hosts(envoy, pool);
  struct span affinity = affinity_of(selection);
  *priority = 0;
  if (span_begins(affinity, SPAN("="))) return choose_machine(envoy, span_from(affinity, 1), number);
  uint64_t hash;
  bool sticky = span_number(affinity, &hash);
  if (!sticky) hash = pool->random = rendezvous_mix(pool->random);
  struct machine machines[WINDOW];
  size_t start = seat_at(pool, rendezvous_mix(hash));
  size_t count = look(envoy, selection, pool, start, true, machines);
  if (!count) count = look(envoy, selection, pool, start, false, machines);
  if (!count) return false;
  size_t chosen = sticky ? balance_by_hash(machines, count, hash) : balance_by_load(machines, count, hash);
  *number = number_among_healthy(envoy, machines[chosen].host);
  return true;
}

HOOK_EXPORT void HOOK(lb_destroy)(const void *pool) {
  free(((struct pool *)pool)->seats);
  free((struct pool *)pool);
}
