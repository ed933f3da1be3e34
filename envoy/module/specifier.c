// Chooses the cluster of every attempt, as Envoy's cluster specifier: a route names no cluster but has a plan.

#include "abi.h"
#include "hosts.h"
#include "plan.h"
#include "request.h"

// There is no such cluster: Envoy answers at once.
static const struct span NOWHERE = SPAN("none");

// The state of one choice, for the callbacks below.
struct look {
  envoy_specifier specifier;
  const struct plan *plan;
  struct request *request;  // or NULL
  struct caller caller;
  struct draw draw;
  uint64_t now;
  uint64_t tokens;  // the request's reserved tokens, if a target of the plan has quotas
  bool any_limited, limits_known;  // whether a target of the plan is limited; found once
  uint64_t first_limit;            // when the first limit ends
};

// Lets a target that Envoy's health checks bring back regain its share gradually.
static void watch(const struct look *look, const struct plan_target *target, bool lives) {
  if (!lives) {
    hosts_away(target->name);
  } else if (look->now) {  // otherwise, nothing was away
    hosts_back(target->name, look->now);
  }
}

// Returns the live hosts of a target that the request fits.
static size_t living_hosts(const struct look *look, const struct plan_target *target) {
  const struct request *request = look->request;
  size_t count = 0;
  if (request && request->excluded.size && !request_fits(request, target->cluster)) return 0;
  // The cluster does not exist yet, or no longer: it has no healthy host.
  if (!CALLBACK(cluster_specifier_get_cluster_host_count)(look->specifier, target->cluster, 0, NULL, &count, NULL))
    return 0;
  if (target->checked) watch(look, target, count > 0);
  return count;
}

static enum host_state state_of(const struct look *look, uint64_t host) {
  return hosts_state(host, look->caller, look->draw.random, look->now);
}

// Returns how long until the credential's quotas have room for the request.
static uint64_t quota_wait(const struct look *look, const struct plan_target *target) {
  return target->quotas ? quotas_wait(target->quotas, look->tokens, look->now) : 0;
}

// Envoy itself skips resting machines.
static size_t healthy(void *context, const struct plan_target *target) {
  const struct look *look = context;
  if (quota_wait(look, target)) return 0;
  // Called first, because its answer may end a rest or begin a recovery.
  size_t count = living_hosts(look, target);
  bool open = hosts_are_open() || target->machines ||
              (state_of(look, target->name) <= HOST_TRICKLES && state_of(look, target->account) <= HOST_TRICKLES);
  return open ? count : 0;
}

// Returns when the target may be asked again, by its own answer or by its credential's quotas; 0 if it is not limited.
static uint64_t limited_until(const struct look *look, const struct plan_target *target) {
  if (look->draw.only.size && !span_is(look->draw.only, target->cluster)) return 0;
  if (target->machines || !target->tries) return 0;
  uint64_t until = state_of(look, target->name) == HOST_PAUSED ? hosts_paused_until(target->name) : 0;
  uint64_t wait = quota_wait(look, target);
  if (wait && look->now + wait > until) until = look->now + wait;
  return until && living_hosts(look, target) ? until : 0;
}

// Finds when the first limited target of the plan may be asked again. Returns false if none is limited.
static bool find_limits(struct look *look) {
  if (look->limits_known) return look->any_limited;
  look->limits_known = true;
  for (size_t at = 0; at < look->plan->count; at++) {
    const struct plan_target *target = &look->plan->targets[at];
    uint64_t until = limited_until(look, target);
    if (!until) continue;
    if (!look->any_limited || until < look->first_limit) look->first_limit = until;
    look->any_limited = true;
  }
  return look->any_limited;
}

// A target that failed may answer now. One whose quota is used up will not. Neither will a refused credential, which is
// only worth trying if no target has said when to come back.
static bool askable(void *context, const struct plan_target *target) {
  struct look *look = context;
  if (target->machines || !living_hosts(look, target) || limited_until(look, target)) return false;
  bool refused = state_of(look, target->account) == HOST_PAUSED;
  if (refused && find_limits(look)) return false;
  return hosts_may_ask(target->name, look->now);
}

// Enters the chosen target. Returns false if another request was faster, so that it is closed to this one.
static bool enter(const struct look *look, const struct plan_target *target) {
  struct request *request = look->request;
  if (target->machines || request->choice.verdict != CHOICE_LIVES) return true;
  return hosts_enter(request->cluster, look->caller, look->draw.random, look->now, &request->probes) &&
         hosts_enter(request->credential, look->caller, look->draw.random, look->now, &request->proves);
}

// Takes from the quotas of the chosen target's credential. Returns false if another request was faster. A request that
// may go nowhere else takes what is left.
static bool take_quota(const struct look *look, const struct plan_target *target) {
  struct request *request = look->request;
  if (!target->quotas || request->choice.verdict >= CHOICE_GIVE_UP) return true;
  request->charged_attempts = request->choice.attempts;
  return quotas_take(target->quotas, look->tokens, look->now, look->draw.only.size > 0, &request->charge);
}

// Ends the charge of the previous choice, which came to nothing: its attempt failed, or Envoy chose again without one.
static void end_charge(struct request *request) {
  if (request->choice.attempts > request->charged_attempts) {
    charge_settle(&request->charge, 0, hosts_now());
  } else {
    charge_return(&request->charge, hosts_now());
  }
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
    if (!take_quota(look, target)) continue;
    if (hosts_are_open() || enter(look, target)) return;
    charge_return(&request->charge, look->now);
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
  uint64_t random = CALLBACK(cluster_specifier_get_random_value)(context);
  struct request *request = request_of_choice(random);
  struct choice unknown = {0}, *choice = request ? &request->choice : &unknown;
  if (request && request->missed) {
    // Without a local address there never was a connection.
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
              .random = random,
              .sticky = request && request->sticks_to_target,
              .hash = request ? request->hash : 0,
              .only = request ? request->bound : NO_SPAN,
          },
      .now = hosts_are_open() && !plan->has_quotas ? 0 : hosts_now(),
      .tokens = request && plan->has_quotas ? request_tokens(request) : 0,
  };
  if (request && request->charge.account) end_charge(request);
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
    request->status = 0;  // of the previous attempt
    if (request_makes(request)) {
      request->place.size = 0;
      buffer_add(&request->place, nowhere ? NOWHERE : plan->targets[choice->current].cluster);
    }
    request->outcome.gone = gone;
    bool limited = nowhere && !gone && (plan->has_quotas || !hosts_are_open()) && find_limits(&look);
    if (limited) request_limited(request, look.first_limit - look.now);
  } else {
    choice_free(choice);
  }
  return true;
}
