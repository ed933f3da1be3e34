// Chooses the cluster of every attempt, as Envoy's cluster specifier: a route names no cluster, but has a plan.

#include "abi.h"
#include "hosts.h"
#include "plan.h"
#include "request.h"

// No such cluster: Envoy answers at once.
static const struct span NOWHERE = SPAN("none");

// One choice: what the callbacks below look at.
struct look {
  envoy_specifier specifier;
  const struct plan *plan;
  struct request *request;  // or NULL
  struct caller caller;
  struct draw draw;
  uint64_t now;
  bool any_limited, limits_known;  // whether a target of the plan is limited; looked at once
  uint64_t first_limit;            // and when the first limit ends
};

// Of a target that the request fits in.
static size_t living_hosts(const struct look *look, const struct plan_target *target) {
  const struct request *request = look->request;
  size_t count = 0;
  if (request && request->unfit.size && !request_fits(request, target->cluster)) return 0;
  // Not a cluster yet, or not any more: nothing lives there.
  if (!CALLBACK(cluster_specifier_get_cluster_host_count)(look->specifier, target->cluster, 0, NULL, &count, NULL))
    return 0;
  return count;
}

static enum host_state state_of(const struct look *look, uint64_t host) {
  return hosts_state(host, look->caller, look->draw.random, look->now);
}

// Of machines, Envoy passes over those that rest by itself.
static size_t healthy(void *context, const struct plan_target *target) {
  const struct look *look = context;
  bool open = hosts_are_open() || target->machines ||
              (state_of(look, target->name) <= HOST_TRICKLES && state_of(look, target->account) <= HOST_TRICKLES);
  return open ? living_hosts(look, target) : 0;
}

static bool is_limited(const struct look *look, const struct plan_target *target) {
  if (look->draw.only.size && !span_is(look->draw.only, target->cluster)) return false;
  return !target->machines && target->tries && state_of(look, target->name) == HOST_PAUSED &&
         living_hosts(look, target);
}

// When the first target of the plan may be asked again that has said when. False if none has.
static bool find_limits(struct look *look) {
  if (look->limits_known) return look->any_limited;
  look->limits_known = true;
  for (size_t at = 0; at < look->plan->count; at++) {
    const struct plan_target *target = &look->plan->targets[at];
    if (!is_limited(look, target)) continue;
    uint64_t until = hosts_paused_until(target->name);
    if (!look->any_limited || until < look->first_limit) look->first_limit = until;
    look->any_limited = true;
  }
  return look->any_limited;
}

// A target that failed may answer now; one whose quota is used up will not, and neither will a refused credential, which
// is only worth trying where no target has said when to come back.
static bool askable(void *context, const struct plan_target *target) {
  struct look *look = context;
  if (target->machines || !living_hosts(look, target) || is_limited(look, target)) return false;
  bool refused = state_of(look, target->account) == HOST_PAUSED;
  if (refused && find_limits(look)) return false;
  return hosts_may_ask(target->name, look->now);
}

// Enters the chosen target. False if another request was faster, so that it is closed to this one now.
static bool enter(const struct look *look, const struct plan_target *target) {
  struct request *request = look->request;
  if (target->machines || request->choice.verdict != CHOICE_LIVES) return true;
  return hosts_enter(request->cluster, look->caller, look->draw.random, look->now, &request->probes) &&
         hosts_enter(request->credential, look->caller, look->draw.random, look->now, &request->proves);
}

static void choose_and_enter(struct look *look) {
  // At most one round for each target that was closed meanwhile.
  const struct living living = {look, healthy, askable};
  struct request *request = look->request;
  for (size_t round = 0; round <= look->plan->count; round++) {
    choose(look->plan, &request->choice, &look->draw, &living);
    const struct plan_target *target = &look->plan->targets[request->choice.current];
    request->cluster = target->name;
    request->credential = target->machines ? 0 : target->account;
    request->probes = request->proves = false;
    if (hosts_are_open() || enter(look, target)) return;
  }
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
  struct look look = {
      .specifier = context,
      .plan = plan,
      .request = request,
      .draw =
          {
              .random = CALLBACK(cluster_specifier_get_random_value)(context),
              .sticky = request && request->sticks_to_target,
              .hash = request ? request->hash : 0,
              .only = request ? request->bound : NO_SPAN,
          },
      .now = hosts_are_open() ? 0 : hosts_now(),
  };
  if (request && !hosts_are_open()) look.caller = request_caller(request);
  if (request) {
    choose_and_enter(&look);
  } else {
    const struct living living = {&look, healthy, askable};
    choose(plan, choice, &look.draw, &living);
  }
  bool gone = choice->verdict == CHOICE_GONE;
  bool nowhere = gone || (choice->verdict == CHOICE_GIVE_UP && !choice->attempts);
  CALLBACK(cluster_specifier_set_cluster_name)(context, nowhere ? NOWHERE : plan->targets[choice->current].cluster);
  if (request) {
    request->status = 0;  // of the attempt before
    if (request_makes(request)) {
      request->place.size = 0;
      buffer_add(&request->place, nowhere ? NOWHERE : plan->targets[choice->current].cluster);
    }
    request->outcome.gone = gone;
    bool limited = nowhere && !gone && !hosts_are_open() && find_limits(&look);
    if (limited) request_limited(request, look.first_limit - look.now);
  } else {
    choice_free(choice);
  }
  return true;
}
