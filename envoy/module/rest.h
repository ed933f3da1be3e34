// The rest of one host or credential: the rules that decide who may go there now. No I/O, no lock.
//
// A rest has two causes. *Failures*: the third in a row that counts makes the host rest, and live traffic probes it
// afterwards. A *pause*: the host itself said that it takes nothing for a while (429, a refused credential).
//
// Anybody can provoke such an answer with a request of their own (too large for the account's quota, say). So a pause
// holds at first for the caller who met it, and everybody else sends one request at a time to find out: served, and
// the pause is that caller's alone; told the same, and it holds for all callers of the API key, for all of the
// organisation if that was another of its keys, or for everybody if it was another organisation's: a caller with two keys
// cannot keep others away.
//
// When a rest ends, one request at a time is let through until one is served; then the host's share grows back over a
// few seconds. Times are milliseconds of a monotonic clock.

#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RECOVERY_MS = 5000, PROBE_MS = 10000, WHOLE_SHARE = 64 };

// How much of its share a host has that is back `since`, of WHOLE_SHARE.
uint64_t rest_share(uint64_t since, uint64_t now);

// Who must keep away from a host that has paused.
enum reach {
  REACH_UNKNOWN,  // the caller who was told so; the others are finding out
  REACH_CALLER,  // only that caller: another one has been served since
  REACH_ALL,
};

// Who sends a request: an organisation and its API key, as numbers, and the end user that the request names.
struct caller {
  uint64_t organisation, key, user;
};

// How many of those who are like the caller a pause concerns.
enum breadth { BREADTH_USER, BREADTH_KEY, BREADTH_ORGANISATION };

enum host_state {
  HOST_OPEN,
  HOST_TRICKLES,  // a request may go there once it has entered
  HOST_RESTS,  // another host is preferred
  HOST_PAUSED,  // the host asked not to be asked until later
};

struct rest {
  // Failures.
  unsigned confirmed, unreachable, rests;
  uint64_t rests_until;
  uint64_t asked;  // the last time that it was asked although it rested
  bool away;  // Envoy's health checks have found it dead
  // The pause; `paused_until` is 0 if there was none.
  uint64_t paused_until;
  struct caller caller;
  enum breadth breadth;  // who else of its kind was told
  unsigned pauses;
  unsigned cause;  // the status that it said so with
  uint64_t paused_since, rests_since;  // the first time since it served
  enum reach reach;
  bool stated;
  // The end of a rest.
  uint64_t probed_until;  // a probe runs, for all that is known
  uint64_t recovers_since;
};

// Why a host rests, where it is not the status of an answer that said so.
enum { CAUSE_FAILURES = 0, CAUSE_HEALTH = 1, CAUSE_QUOTA = 2 };

// What a host says of a pause.
struct pause {
  struct caller caller;  // who was told
  unsigned cause;  // the status of the answer that said so, or CAUSE_QUOTA
  bool for_all;  // it is known to hold for everybody
  bool stated;  // the host said for how long; otherwise its rest is only a preference
  uint64_t ms;  // of the first
  uint64_t most_ms;  // each further one is twice as long as the last, up to this
};

// `random` is the request's own number, by which a growing share is chosen.
enum host_state rest_state(const struct rest *rest, struct caller caller, uint64_t random, uint64_t now);
// Whether nothing of it matters any more.
bool rest_is_over(const struct rest *rest, uint64_t now);

// Another host has served a request that failed here.
void rest_confirm(struct rest *rest, uint64_t now);
void rest_unreachable(struct rest *rest, uint64_t now);
// The host answered, if only with an error.
void rest_answered(struct rest *rest, uint64_t now);
// `probe`: the request had entered while the host trickled.
void rest_served(struct rest *rest, struct caller caller, bool probe, uint64_t now);
// Returns whether a pause begins with it.
bool rest_pause(struct rest *rest, const struct pause *pause, uint64_t now);
// Envoy's health checks find the host dead, and alive again: then its share grows back.
void rest_away(struct rest *rest);
void rest_back(struct rest *rest, uint64_t now);
// Whether enough failures in a row were confirmed, so that one more is the host's fault too.
bool rest_suspects(const struct rest *rest);
// Whether to ask a host that rests, for want of another one. What cannot be reached is asked once a second.
bool rest_may_ask(struct rest *rest, uint64_t now);
