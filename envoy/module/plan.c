#include "plan.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "hosts.h"
#include "rendezvous.h"

enum { MAX_TARGETS = 4096 };

static bool parse_target(struct span line, struct plan_target *target) {
  struct span tier = span_next(&line, ' '), group = span_next(&line, ' '), weight = span_next(&line, ' ');
  struct span tries = span_next(&line, ' '), kind = span_next(&line, ' ');
  struct span quotas = span_next(&line, ' ');
  target->credential = span_next(&quotas, ';');
  target->cluster = line;
  target->name = host_of_cluster(line);
  target->account = host_of_credential(target->credential);
  target->machines = span_is(kind, SPAN("m"));
  target->waits = target->machines && span_is(target->credential, SPAN("w"));
  target->checked = span_is(kind, SPAN("h"));
  if (quotas.size) {
    target->quotas = allocate(sizeof *target->quotas);
    if (!quotas_parse(quotas, target->account, target->quotas)) return false;
  }
  return span_number(tier, &target->tier) && span_number(group, &target->group) &&
         span_number(weight, &target->weight) && span_number(tries, &target->tries) && target->weight <= UINT32_MAX &&
         target->tries < UINT8_MAX && (target->machines || target->checked || span_is(kind, SPAN("t"))) &&
         target->credential.size && line.size;
}

struct plan *plan_new(struct span text) {
  static atomic_uint_fast64_t ids;
  struct plan *plan = allocate(sizeof *plan);
  *plan = (struct plan){.id = ++ids};
  buffer_add(&plan->text, text);
  for (size_t at = 0; at < text.size; at++) plan->count += text.data[at] == '\n';
  bool sound = plan->count && plan->count <= MAX_TARGETS;
  plan->targets = allocate(sizeof *plan->targets * (sound ? plan->count : 1));
  memset(plan->targets, 0, sizeof *plan->targets * (sound ? plan->count : 1));
  struct span rest = buffer_span(&plan->text);
  for (size_t at = 0; sound && at < plan->count; at++) {
    sound = parse_target(span_next(&rest, '\n'), &plan->targets[at]);
    plan->has_quotas = plan->has_quotas || plan->targets[at].quotas;
  }
  if (sound && !rest.size) return plan;
  if (plan->count > MAX_TARGETS) plan->count = 0;  // the plan is invalid
  plan_free(plan);
  return NULL;
}

void plan_free(struct plan *plan) {
  for (size_t at = 0; at < plan->count; at++) free(plan->targets[at].quotas);
  buffer_free(&plan->text);
  free(plan->targets);
  free(plan);
}

// The caller's answers about the targets during one choice, each asked once.
struct view {
  const struct plan *plan;
  const struct choice *choice;
  const struct living *living;
  size_t few[16], *healthy;
};

static const size_t UNKNOWN = SIZE_MAX;

static size_t healthy(struct view *view, size_t at) {
  const struct plan_target *target = &view->plan->targets[at];
  if (view->healthy[at] == UNKNOWN) {
    view->healthy[at] = target->tries ? view->living->healthy(view->living->context, target) : 0;
  }
  return view->healthy[at];
}

static bool may_try(struct view *view, size_t at, unsigned tried) {
  const struct plan_target *target = &view->plan->targets[at];
  size_t living = healthy(view, at);
  bool same = target->machines && living == 1 && view->plan->count > 1;  // a second try would meet the same machine
  return living && tried < (same ? 1 : target->tries);
}

static bool askable(struct view *view, size_t at) {
  const struct plan_target *target = &view->plan->targets[at];
  return target->tries && view->living->askable(view->living->context, target);
}

// Returns the first target for which `holds`, in the failover order of the request: from its first target on through
// those of the same group, and then all others in the plan's order; `count` if there is none.
static size_t in_order(struct view *view, bool (*holds)(struct view *, size_t)) {
  const struct plan *plan = view->plan;
  size_t first = view->choice->first;
  for (int pass = 0; pass < 3; pass++) {
    for (size_t at = 0; at < plan->count; at++) {
      bool own = plan->targets[at].group == plan->targets[first].group;
      bool here = pass == 0 ? own && at >= first : pass == 1 ? own && at < first : !own;
      if (here && holds(view, at)) return at;
    }
  }
  return plan->count;
}

// Returns whether the pool has its group's share: the first live pool of a group has it.
static bool shares(struct view *view, size_t start, size_t at, bool (*holds)(struct view *, size_t)) {
  const struct plan_target *targets = view->plan->targets;
  for (size_t before = start; targets[at].machines && before < at; before++) {
    if (targets[before].group == targets[at].group && holds(view, before)) return false;
  }
  return holds(view, at);
}

// Returns the target between `start` and `end` for which `holds` that the hash prefers by the weights.
static size_t by_hash(struct view *view, size_t start, size_t end, uint64_t hash,
                      bool (*holds)(struct view *, size_t)) {
  size_t found = end;
  double lowest = INFINITY;
  for (size_t at = start; at < end; at++) {
    const struct plan_target *target = &view->plan->targets[at];
    double drawn =
        shares(view, start, at, holds) ? rendezvous_draw(hash, target->name, (double)target->weight) : INFINITY;
    if (drawn < lowest) lowest = drawn, found = at;
  }
  return found;
}

// Returns a target by weight, from the best tier that has one for which `holds`; `count` if there is none.
static size_t by_weight(struct view *view, const struct draw *draw, bool (*holds)(struct view *, size_t)) {
  const struct plan *plan = view->plan;
  for (size_t start = 0, end; start < plan->count; start = end) {
    uint64_t total = 0;
    size_t found = plan->count;
    for (end = start; end < plan->count && plan->targets[end].tier == plan->targets[start].tier; end++) {
      if (!shares(view, start, end, holds)) continue;
      total += plan->targets[end].weight;
      if (found == plan->count) found = end;
    }
    if (!total && found < plan->count) return found;  // a target without weight serves as a fallback
    if (total && draw->sticky) return by_hash(view, start, end, draw->hash, holds);
    uint64_t place = total ? draw->random % total : 0;
    for (size_t at = start; total && at < end; at++) {
      if (!shares(view, start, at, holds)) continue;
      if (place < plan->targets[at].weight) return at;
      place -= plan->targets[at].weight;
    }
  }
  return plan->count;
}

static bool lives(struct view *view, size_t at) { return healthy(view, at) > 0; }

static bool may_be_next(struct view *view, size_t at) { return may_try(view, at, view->choice->tries[at]); }

static bool may_be_asked(struct view *view, size_t at) {
  return !view->choice->tries[at] && !lives(view, at) && askable(view, at);
}

// Computes what would be left without the chosen target.
static void look_ahead(struct view *view, struct choice *choice) {
  size_t current = choice->current;
  choice->others = healthy(view, current) > 1;
  choice->elsewhere = false;
  for (size_t at = 0; at < view->plan->count && !(choice->others && choice->elsewhere); at++) {
    if (at == current || !healthy(view, at)) continue;
    choice->others = true;
    choice->elsewhere = may_try(view, at, choice->tries[at]);
  }
  choice->more =
      choice->elsewhere || (choice->verdict == CHOICE_LIVES && may_try(view, current, choice->tries[current] + 1u));
}

static void begin(const struct plan *plan, struct choice *choice) {
  choice_free(choice);
  *choice = (struct choice){.plan = plan->id};
  choice->tries = plan->count <= sizeof choice->few ? choice->few : allocate(plan->count);
  memset(choice->tries, 0, plan->count);
}

// Chooses the only target that may be asked, whether it rests or not. Its provider may be asked again if it stands
// alone.
static void choose_only(struct view *view, struct choice *choice, struct span only) {
  const struct plan *plan = view->plan;
  size_t at = 0;
  while (at < plan->count && !span_is(plan->targets[at].cluster, only)) at++;
  choice->current = at < plan->count ? at : 0;
  choice->others = choice->more = choice->elsewhere = false;
  if (at == plan->count) {
    choice->verdict = CHOICE_GONE;
    return;
  }
  // A second try would reach another machine, which does not know the response.
  unsigned tries = plan->targets[at].machines || !plan->targets[at].tries ? 1 : (unsigned)plan->targets[at].tries;
  choice->verdict = choice->tries[at] < tries ? CHOICE_LAST_RESORT : CHOICE_GIVE_UP;
  choice->more = choice->tries[at] + 1u < tries;
}

void choose(const struct plan *plan, struct choice *choice, const struct draw *draw, const struct living *living) {
  // A route may change while a request waits for its authorisation; from the first attempt on, it keeps its plan.
  if (choice->plan != plan->id) begin(plan, choice);
  struct view view = {.plan = plan, .choice = choice, .living = living};
  view.healthy = plan->count <= sizeof view.few / sizeof *view.few ? view.few : allocate(plan->count * sizeof(size_t));
  for (size_t at = 0; at < plan->count; at++) view.healthy[at] = UNKNOWN;
  if (draw->only.size) {
    choose_only(&view, choice, draw->only);
    if (!choice->attempts) choice->first = choice->current;
    if (view.healthy != view.few) free(view.healthy);
    return;
  }
  size_t none = plan->count, chosen = choice->attempts ? in_order(&view, may_be_next) : by_weight(&view, draw, lives);
  choice->verdict = CHOICE_LIVES;
  if (chosen == none) {
    choice->verdict = CHOICE_LAST_RESORT;
    chosen = choice->attempts ? in_order(&view, may_be_asked) : by_weight(&view, draw, askable);
  }
  if (chosen == none) {
    choice->verdict = CHOICE_GIVE_UP;
    chosen = choice->attempts ? choice->current : 0;
  }
  choice->current = chosen;
  choice->waits = plan->targets[chosen].waits;
  if (!choice->attempts) choice->first = chosen;
  look_ahead(&view, choice);
  if (view.healthy != view.few) free(view.healthy);
}

void choice_begin(struct choice *choice) {
  if (!choice->tries) return;  // not chosen by a plan
  choice->attempts++;
  if (choice->verdict < CHOICE_GIVE_UP && choice->tries[choice->current] < UINT8_MAX) choice->tries[choice->current]++;
}

bool choice_busy(struct choice *choice) {
  if (!choice->waits || choice->verdict >= CHOICE_GIVE_UP || !choice->tries[choice->current]) return false;
  choice->tries[choice->current]--;
  choice->more = true;
  return true;
}

void choice_free(struct choice *choice) {
  if (choice->tries != choice->few) free(choice->tries);
  choice->tries = NULL;
}
