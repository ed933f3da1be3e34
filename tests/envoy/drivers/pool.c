#include <stdlib.h>

#include "abi.h"
#include "driver.h"

// A pool as Envoy has it: its hosts, and the request that a host is chosen for.
struct world {
  struct host {
    struct span address;
    uint64_t weight, active, health, tried;
  } hosts[512];
  size_t count;
  struct span affinity;
};

const void *HOOK(lb_config_new)(envoy_config, struct span name, struct span text);
const void *HOOK(lb_new)(const void *config, envoy_balancer);
void HOOK(lb_on_host_membership_update)(envoy_balancer, const void *pool, size_t added, size_t removed);
bool HOOK(lb_choose_host)(envoy_balancer, const void *pool, envoy_selection, uint32_t *priority, uint32_t *number);
void HOOK(lb_destroy)(const void *pool);
void HOOK(lb_config_destroy)(const void *config);

static const struct host *host_of(envoy_balancer balancer, size_t host) {
  struct world *world = balancer;
  if (host >= world->count) abort();
  return &world->hosts[host];
}

size_t CALLBACK(lb_get_hosts_count)(envoy_balancer balancer, uint32_t priority) {
  return priority ? 0 : ((struct world *)balancer)->count;
}

size_t CALLBACK(lb_get_healthy_hosts_count)(envoy_balancer balancer, uint32_t priority) {
  size_t healthy = 0, count = CALLBACK(lb_get_hosts_count)(balancer, priority);
  for (size_t at = 0; at < count; at++) healthy += host_of(balancer, at)->health == HOST_HEALTHY;
  return healthy;
}

bool CALLBACK(lb_get_host_address)(envoy_balancer balancer, uint32_t priority, size_t host, struct span *address) {
  *address = host_of(balancer, host)->address;
  return priority == 0;
}

uint32_t CALLBACK(lb_get_host_weight)(envoy_balancer balancer, uint32_t priority, size_t host) {
  return priority ? 0 : (uint32_t)host_of(balancer, host)->weight;
}

int CALLBACK(lb_get_host_health)(envoy_balancer balancer, uint32_t priority, size_t host) {
  return priority ? HOST_UNHEALTHY : (int)host_of(balancer, host)->health;
}

uint64_t CALLBACK(lb_get_host_stat)(envoy_balancer balancer, uint32_t priority, size_t host, int stat) {
  return priority || stat != HOST_REQUESTS_ACTIVE ? 0 : host_of(balancer, host)->active;
}

bool CALLBACK(lb_context_get_downstream_header)(envoy_selection selection, struct span key, struct span *value,
                                                size_t index, size_t *count) {
  struct world *world = selection;
  *value = world->affinity;
  if (count) *count = world->affinity.size > 0;
  return span_is(key, SPAN("x-trunkline-affinity")) && index == 0 && world->affinity.size;
}

bool CALLBACK(lb_context_should_select_another_host)(envoy_balancer balancer, envoy_selection selection,
                                                     uint32_t priority, size_t host) {
  return selection && priority == 0 && host_of(balancer, host)->tried;
}

static void set_hosts(struct world *world, struct span lines) {
  world->count = 0;
  while (lines.size) {
    struct span line = span_next(&lines, '\n');
    struct host *host = &world->hosts[world->count++];
    host->address = span_next(&line, ' ');
    uint64_t *numbers[] = {&host->weight, &host->active, &host->health, &host->tried};
    for (size_t at = 0; at < 4; at++) {
      struct span number = span_next(&line, ' ');
      if (!span_number(number, numbers[at])) abort();
    }
  }
}

// For each moment of one pool: <line of `address weight active health tried` for each host> <whether they are others>
// <affinity, empty for none>. Answers with the chosen host's address, empty for none.
void pool_driver(struct span command, struct buffer *answer) {
  struct world *world = allocate(sizeof *world);
  world->count = 0;
  const void *config = HOOK(lb_config_new)(NULL, SPAN("pool"), NO_SPAN), *pool = HOOK(lb_new)(config, world);
  while (has_next(&command)) {
    set_hosts(world, next_text(&command));
    if (next_number(&command)) HOOK(lb_on_host_membership_update)(world, pool, 0, 0);
    world->affinity = next_text(&command);
    uint32_t priority = 1, number = 0;
    struct span chosen = NO_SPAN;
    bool found = HOOK(lb_choose_host)(world, pool, world, &priority, &number);
    for (size_t at = 0; found && at < world->count; at++) {
      if (world->hosts[at].health != HOST_HEALTHY || number--) continue;
      chosen = world->hosts[at].address;
      break;
    }
    put_text(answer, chosen);
  }
  HOOK(lb_destroy)(pool);
  HOOK(lb_config_destroy)(config);
  free(world);
}
