// Chooses the target of each attempt of a request. No I/O: the caller says what lives.
//
// A plan belongs to one route and one audience. It has every target in failover order, with its tier, its share of that
// tier, and the number of times that one request may try it.

#pragma once

#include "bytes.h"
#include "quota.h"

struct plan_target {
  struct span cluster;  // the name of its Envoy cluster
  uint64_t name;  // the cluster's number in the table of hosts
  uint64_t tier;  // 0 is tried first
  uint64_t group;  // the same for all credentials of one provider's model, or for the machines of one model
  uint64_t weight;
  uint64_t tries;  // for one request; 0: the target is paused, and only asked about responses that it created
  struct span credential;  // the mark of its credential; `-` for machines
  uint64_t account;  // the credential's number in the table of hosts
  struct quotas *quotas;  // the credential's; NULL if it has none
  bool checked;  // Envoy's health checks say whether it lives
  // A pool of machines. The first pool of its group that lives has the group's share. If there are other targets, the
  // second try is for a second machine.
  bool machines;
  bool waits;  // a request keeps asking them while they are busy
};

struct plan {
  uint64_t id;  // unique among all plans ever; never 0
  size_t count;
  struct plan_target *targets;
  bool has_quotas;
  struct buffer text;  // the names point into this text
};

// Parses a plan: a line `<tier> <group> <weight> <tries> <kind> <credential> <cluster>` for each target. The kind is m
// for machines, whose credential is `w` if requests wait for them, h for a target with health checks, and t for any
// other. Quotas follow a credential after a semicolon. Returns NULL if the text is not a plan, or names no target.
struct plan *plan_new(struct span text);
void plan_free(struct plan *plan);

// Questions about a target that the chooser's caller answers.
struct living {
  void *context;
  // Returns the number of the target's healthy hosts.
  size_t (*healthy)(void *context, const struct plan_target *target);
  // Returns whether the target may be tried although none of its hosts is healthy.
  bool (*askable)(void *context, const struct plan_target *target);
};

enum verdict {
  CHOICE_LIVES,
  CHOICE_LAST_RESORT,  // nothing that lives may be tried, but this target may still answer
  CHOICE_GIVE_UP,  // nothing is left to try: this attempt only answers the client
  CHOICE_GONE,  // likewise: the only target that may be asked is not in the plan
};

// The targets that one request has tried; zeroed initially.
struct choice {
  uint64_t plan;  // the id of the plan to which the other fields belong
  size_t first;  // the target of the first attempt
  size_t current;
  unsigned attempts;
  uint8_t few[16], *tries;  // by target
  enum verdict verdict;
  bool others;  // another host would be alive if the chosen one were not
  bool more;  // and the request may be sent on if the chosen target fails
  bool elsewhere;  // to another target, not only to the chosen one
  bool waits;  // the chosen target's machines may be asked again while they are busy
};

// The facts that the choice of the first attempt's target depends on.
struct draw {
  uint64_t random;  // the request's own number
  bool sticky;  // `hash` is used instead
  uint64_t hash;  // the same for all requests that belong at one target
  struct span only;  // the cluster of the only target that may be asked, or nothing
};

// Chooses the next attempt's target: `choice->current`. The first attempt is shared by weight among the live targets of
// the best tier; further ones follow the failover order. Choosing again before `choice_begin` does not count as an
// attempt.
void choose(const struct plan *plan, struct choice *choice, const struct draw *draw, const struct living *living);
// The attempt at `choice->current` begins.
void choice_begin(struct choice *choice);
// The machine that was asked is busy. If requests wait for machines, the attempt does not count and the request may be
// sent on; Envoy bounds how often. Returns whether it may.
bool choice_busy(struct choice *choice);
void choice_free(struct choice *choice);
