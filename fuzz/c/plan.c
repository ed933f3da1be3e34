// A route's plan: refused, or every target of its text is there as written; with any of them alive, what is chosen may be
// chosen, and a request's attempts come to an end.

#include "plan.h"

#include "fuzz.h"

enum { MAX_ATTEMPTS = 4096 };

struct world {
  const struct plan *plan;
  uint32_t seed;
};

// Decided by the seed and the target, and the same for as long as the seed is.
static uint32_t toss(const struct world *world, const struct plan_target *target, uint32_t salt) {
  uint32_t place = (uint32_t)(target - world->plan->targets);
  return ((world->seed + place + salt) * 2654435761u) >> 16;
}

static size_t healthy(void *context, const struct plan_target *target) { return toss(context, target, 1) % 3; }

static bool askable(void *context, const struct plan_target *target) { return toss(context, target, 2) % 2; }

static void put_number_word(struct buffer *text, uint64_t number) {
  buffer_add_number(text, number);
  buffer_add(text, SPAN(" "));
}

static bool is_number_as_written(struct span text) { return text.size == 1 || text.data[0] != '0'; }

// Returns whether numbers in the text have leading zeros, which are not written again.
static bool has_zeros_in_front(struct span text) {
  while (text.size) {
    struct span line = span_next(&text, '\n');
    for (int word = 0; word < 4; word++) {
      struct span number = span_next(&line, ' ');
      if (number.size && !is_number_as_written(number)) return true;
    }
  }
  return false;
}

static void check_written(const struct plan *plan, struct span text) {
  struct buffer written = {0};
  for (size_t at = 0; at < plan->count; at++) {
    const struct plan_target *target = &plan->targets[at];
    put_number_word(&written, target->tier);
    put_number_word(&written, target->group);
    put_number_word(&written, target->weight);
    put_number_word(&written, target->tries);
    buffer_add(&written, target->machines ? SPAN("m ") : SPAN("t "));
    buffer_add(&written, target->credential);
    buffer_add(&written, SPAN(" "));
    buffer_add(&written, target->cluster);
    buffer_add(&written, SPAN("\n"));
  }
  HOLDS(span_is(buffer_span(&written), text) || has_zeros_in_front(text));
  buffer_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span text = {(const char *)data, size};
  struct world world = {.seed = take_byte(&text)};
  uint8_t changes = take_byte(&text);
  struct span copy = exact_copy(text);
  struct plan *plan = plan_new(copy);
  free((char *)copy.data);
  if (!plan) return 0;
  check_written(plan, text);
  world.plan = plan;
  const struct living living = {&world, healthy, askable};
  struct choice choice = {0};
  uint64_t most = 1;
  for (size_t at = 0; at < plan->count; at++) most += plan->targets[at].tries + 1;
  uint64_t attempts = 0;
  do {
    if (changes && attempts % changes == 0) world.seed++;
    uint64_t random = world.seed * 2654435761u;
    const struct draw draw = {.random = random, .sticky = random & 1, .hash = random * 0x9E3779B97F4A7C15u};
    choose(plan, &choice, &draw, &living);
    HOLDS(choice.current < plan->count && choice.first < plan->count);
    const struct plan_target *target = &plan->targets[choice.current];
    HOLDS(choice.verdict != CHOICE_LIVES || healthy(&world, target) > 0);
    HOLDS(choice.verdict != CHOICE_LAST_RESORT || (healthy(&world, target) == 0 && askable(&world, target)));
    HOLDS(choice.verdict != CHOICE_LIVES || choice.tries[choice.current] < target->tries);
    choice_begin(&choice);
    HOLDS(++attempts <= most);
  } while (choice.verdict != CHOICE_GIVE_UP && attempts < MAX_ATTEMPTS);
  choice_free(&choice);
  plan_free(plan);
  return 0;
}
