// Chooses the cluster of every attempt, as Envoy's cluster specifier: a route names no cluster, but has a plan.

#include "abi.h"
#include "hosts.h"
#include "plan.h"
#include "request.h"

// No such cluster: Envoy answers at once.
static const struct span NOWHERE = SPAN("none");

static size_t living_hosts(envoy_specifier specifier, const struct plan_target *target) {
  size_t count = 0;
  // Not a cluster yet, or not any more: nothing lives there.
  if (!CALLBACK(cluster_specifier_get_cluster_host_count)(specifier, target->cluster, 0, NULL, &count, NULL)) return 0;
  return count;
}

// What is asked about a target: in which choice, and for which request, NULL where it is not known.
struct asking {
  envoy_specifier specifier;
  const struct request *request;
};

static bool fits(const struct asking *asking, const struct plan_target *target) {
  return !asking->request || !asking->request->unfit.size || request_fits(asking->request, target->cluster);
}

// Of machines, Envoy passes over those that rest by itself.
static size_t healthy(void *context, const struct plan_target *target) {
  const struct asking *asking = context;
  if (!fits(asking, target)) return 0;
  bool rests = !target->machines && hosts_rests(host_of_cluster(target->cluster), hosts_now());
  return rests ? 0 : living_hosts(asking->specifier, target);
}

static bool askable(void *context, const struct plan_target *target) {
  const struct asking *asking = context;
  if (target->machines || !fits(asking, target) || !living_hosts(asking->specifier, target)) return false;
  return hosts_may_ask(host_of_cluster(target->cluster), hosts_now());
}

HOOK_EXPORT const void *HOOK(cluster_specifier_config_new)(envoy_config envoy, struct span name, struct span text) {
  (void)envoy, (void)name;
  struct plan *plan = plan_new(text);
  if (!plan) CALLBACK(log)(LOG_ERROR, SPAN("trunkline specifier: the configuration is not a plan"));
  return plan;
}

HOOK_EXPORT void HOOK(cluster_specifier_config_destroy)(const void *plan) { plan_free((struct plan *)plan); }

HOOK_EXPORT bool HOOK(cluster_specifier_select)(const void *config, envoy_specifier context) {
  const struct plan *plan = config;
  struct request *request = request_of_choice(context);
  struct choice unknown = {0}, *choice = request ? &request->choice : &unknown;
  if (request && request->missed) {
    // Without an address of its own end there never was a connection.
    struct span address = NO_SPAN;
    CALLBACK(cluster_specifier_get_attribute_string)(context, ATTRIBUTE_UPSTREAM_LOCAL_ADDRESS, &address);
    request_missed(request, address.size > 0);
  }
  const struct draw draw = {
      .random = CALLBACK(cluster_specifier_get_random_value)(context),
      .sticky = request && request->sticks_to_target,
      .hash = request ? request->hash : 0,
      .only = request ? request->bound : NO_SPAN,
  };
  struct asking asking = {context, request};
  const struct living living = {&asking, healthy, askable};
  choose(plan, choice, &draw, &living);
  bool nowhere = choice->verdict == CHOICE_GIVE_UP && !choice->attempts;
  struct span cluster = nowhere ? NOWHERE : plan->targets[choice->current].cluster;
  CALLBACK(cluster_specifier_set_cluster_name)(context, cluster);
  if (request) {
    request->status = 0;  // of the attempt before
    request->cluster = host_of_cluster(cluster);
    if (request_makes(request)) {
      request->place.size = 0;
      buffer_add(&request->place, cluster);
    }
  } else {
    choice_free(choice);
  }
  return true;
}
