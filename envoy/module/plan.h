// Chooses the target of each attempt of a request. No I/O: what lives is asked of the caller.
//
// A plan is one route's for one audience: every target in failover order, with the tier that it serves in, its share
// of that tier, and how often one request may try it.

#pragma once

#include "bytes.h"
#include "quota.h"

struct plan_target {
  struct span cluster;  // the name of its Envoy cluster
  uint64_t name;        // the same, by its number in the table of hosts
  uint64_t tier;        // 0 serves first
  uint64_t group;       // the same for the credentials of one provider's model, or for the machines of one model
  uint64_t weight;
  uint64_t tries;  // by one request; 0: it is paused, and only asked for what it alone holds
  struct span credential;  // what stands for the one that it uses; `-` for machines
  uint64_t account;        // the same, by its number in the table of hosts
  struct quotas *quotas;   // of the credential; NULL if it has none
  bool checked;            // Envoy's health checks tell whether it lives
  // A pool of machines: the first of its group that lives has the group's share, and beside other targets the second
  // try is for a second machine.
  bool machines;
  bool waits;  // a request goes on asking them while they are busy
};

struct plan {
  uint64_t id;  // of all plans that ever were; never 0
  size_t count;
  struct plan_target *targets;
  bool has_quotas;
  struct buffer text;  // what the names point into
};

// From its text: a line `<tier> <group> <weight> <tries> <kind> <credential> <cluster>` for each target. The kind is m
// for machines, whose credential is `w` where requests wait for them, h for a target with health checks and t for any
// other; quotas follow a credential behind a semicolon. NULL if it is not that, or names no target.
struct plan *plan_new(struct span text);
void plan_free(struct plan *plan);

// What the chooser asks about a target of the plan.
struct living {
  void *context;
  // How many of its hosts live.
  size_t (*healthy)(void *context, const struct plan_target *target);
  // Whether it may be asked although none lives.
  bool (*askable)(void *context, const struct plan_target *target);
};

enum verdict {
  CHOICE_LIVES,
  CHOICE_LAST_RESORT,  // nothing that lives may be tried, and this may still answer
  CHOICE_GIVE_UP,      // nothing is left to try: this attempt only tells the client
  CHOICE_GONE,         // likewise: the only target that may be asked is none of the plan's
};

// What one request has tried; zeroed at first.
struct choice {
  uint64_t plan;  // the id of the plan that the rest is about
  size_t first;   // the target of the first attempt
  size_t current;
  unsigned attempts;
  uint8_t few[16], *tries;  // by target
  enum verdict verdict;
  bool others;  // another host would live if the chosen one did not
  bool more;    // and this request may be sent on, if the chosen target fails
  bool elsewhere;  // to another target, not only to the chosen one again
  bool waits;      // the chosen target's machines may go on being asked while they are busy
};

// By what the first attempt's target is chosen.
struct draw {
  uint64_t random;  // the request's own number
  bool sticky;      // `hash` counts instead
  uint64_t hash;    // the same for all requests that belong to one target
  struct span only;  // the cluster of the only target that may be asked, or nothing
};

// Chooses the next attempt's target: `choice->current`. The first attempt is shared by weight among what lives of the
// best tier; what follows goes on in failover order. Choosing again before `choice_begin` does not count as an attempt.
void choose(const struct plan *plan, struct choice *choice, const struct draw *draw, const struct living *living);
// The attempt at `choice->current` begins.
void choice_begin(struct choice *choice);
// The machine that was asked is busy: where requests wait for machines, the attempt does not count, and the request may
// be sent on. Envoy bounds how often.
void choice_busy(struct choice *choice);
void choice_free(struct choice *choice);
