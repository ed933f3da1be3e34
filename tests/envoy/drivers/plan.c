#include "plan.h"

#include <string.h>

#include "driver.h"

// The healthy hosts of each target in the plan's order, and whether it may be tried without any.
struct world {
  const struct plan *plan;
  uint64_t healthy[64];
  bool askable[64];
};

static size_t healthy(void *context, const struct plan_target *target) {
  const struct world *world = context;
  return world->healthy[target - world->plan->targets];
}

static bool askable(void *context, const struct plan_target *target) {
  const struct world *world = context;
  return world->askable[target - world->plan->targets];
}

// <text of a plan> and for each attempt of one request: <random> <hash, 0 for none> <the only cluster or nothing>
// <healthy …> <askable …> <begin>. Answers with whether it is a plan, and for each attempt: the target's number, the
// verdict, whether others live, whether there is more, and whether that is another target.
void plan_driver(struct span command, struct buffer *answer) {
  struct plan *plan = plan_new(next_text(&command));
  put_number(answer, plan != NULL);
  if (!plan) return;
  struct choice choice;
  memset(&choice, 0, sizeof choice);
  struct world world = {.plan = plan};
  const struct living living = {&world, healthy, askable};
  while (has_next(&command)) {
    struct draw draw = {.random = next_number(&command), .hash = next_number(&command)};
    draw.sticky = draw.hash > 0;
    draw.only = next_text(&command);
    for (size_t at = 0; at < plan->count; at++) world.healthy[at] = next_number(&command);
    for (size_t at = 0; at < plan->count; at++) world.askable[at] = next_number(&command);
    choose(plan, &choice, &draw, &living);
    put_number(answer, choice.current);
    put_number(answer, choice.verdict);
    put_number(answer, choice.others);
    put_number(answer, choice.more);
    put_number(answer, choice.elsewhere);
    if (next_number(&command)) choice_begin(&choice);
  }
  choice_free(&choice);
  plan_free(plan);
}
