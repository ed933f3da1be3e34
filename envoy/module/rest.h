// The rest of one host or credential: the rules that decide who may go there now. No I/O, no lock.
//
// A rest has two causes. *Failures*: the third in a row that counts makes the host rest, and live traffic probes it
// afterwards. A *pause*: the host itself said that it takes nothing for a while (429, a refused credential).
//
// Anybody can provoke such an answer with a request of their own (too large for the account's quota, say). So a pause
// holds at first for the caller who met it, and everybody else sends one request at a time to find out. If that is
// served, the pause is the first caller's alone. If it gets the same answer, the pause extends to all callers of the
// API key, to the whole organisation if the second caller used another of its keys, or to everybody if the second
// caller was of another organisation. So a caller with two keys cannot keep others away. Once the pause is known to be
// one caller's alone, and others have been served since, another caller of the same organisation that is refused takes
// the first one's place: by taking turns they cannot make everybody find out again and again.
//
// When a rest ends, one request at a time is let through until one is served; then the host's share grows back over a
// few seconds. Times are milliseconds of a monotonic clock.

#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RECOVERY_MS = 5000, PROBE_MS = 10000, WHOLE_SHARE = 64 };

// Returns how much of its share, of WHOLE_SHARE, a host has that is back `since`.
uint64_t rest_share(uint64_t since, uint64_t now);

// The callers that must avoid a paused host.
enum reach {
  REACH_UNKNOWN,  // the caller that was refused; the others are finding out
  REACH_CALLER,  // only that caller: another one has been served since
  REACH_ALL,
};

// The sender of a request: an organisation and its API key, as numbers, and the end user that the request names.
struct caller {
  uint64_t organisation, key, user;
};

// The group of callers, around the one that met it, that a pause concerns.
enum breadth { BREADTH_USER, BREADTH_KEY, BREADTH_ORGANISATION };

enum host_state {
  HOST_OPEN,
  HOST_TRICKLES,  // a request may go there after it has entered
  HOST_RESTS,  // another host is preferred
  HOST_PAUSED,  // the host accepts no requests until later
};

struct rest {
  // Failures.
  unsigned confirmed, unreachable, rests;
  uint64_t rests_until;
  uint64_t asked;  // when it was asked last although it rested
  bool away;  // Envoy's health checks found it dead
  // The pause; `paused_until` is 0 if there was none.
  uint64_t paused_until;
  struct caller caller;
  enum breadth breadth;  // who else of its kind was refused
  unsigned pauses;
  unsigned cause;  // the status of its answer
  uint64_t paused_since, rests_since;  // when that first happened since it served
  enum reach reach;
  bool serves_others;  // a caller whom it does not concern was served since the last refusal
  bool stated;
  bool foreign;  // another gateway, or this one before a restart, met the refusal
  // The end of a rest.
  uint64_t probed_until;  // until then, a probe may be running
  uint64_t recovers_since;
};

// Why a host rests, if not because of an answer's status.
enum { CAUSE_FAILURES = 0, CAUSE_HEALTH = 1, CAUSE_QUOTA = 2 };

// A pause, as the host announced it.
struct pause {
  struct caller caller;  // who was refused
  unsigned cause;  // the status of the answer, or CAUSE_QUOTA
  bool for_all;  // it holds for everybody
  bool stated;  // the host said for how long; otherwise the rest is only a preference
  uint64_t ms;  // of the first pause
  uint64_t max_ms;  // each further pause is twice as long as the last, up to this
};

// A pause that another gateway met, or this one before a restart.
struct foreign_pause {
  struct caller caller;
  enum breadth breadth;
  enum reach reach;
  unsigned cause, pauses;
  bool stated;
  uint64_t age_ms, left_ms;
};

// Returns the host's state for a caller. `random` is the request's own number, which selects requests while the share
// grows.
enum host_state rest_state(const struct rest *rest, struct caller caller, uint64_t random, uint64_t now);
// Returns whether the record is no longer needed.
bool rest_is_over(const struct rest *rest, uint64_t now);

// Another host served a request that failed here.
void rest_confirm(struct rest *rest, uint64_t now);
void rest_unreachable(struct rest *rest, uint64_t now);
// The host answered, even if with an error.
void rest_answered(struct rest *rest, uint64_t now);
// `probe` says that the request entered while the host trickled.
void rest_served(struct rest *rest, struct caller caller, bool probe, uint64_t now);
// Returns whether this begins a pause.
bool rest_pause(struct rest *rest, const struct pause *pause, uint64_t now);
// Takes over a pause, unless one that lasts about as long is known.
void rest_adopt(struct rest *rest, const struct foreign_pause *pause, uint64_t now);
// Envoy's health checks found the host dead, or alive again; then its share grows back.
void rest_away(struct rest *rest);
void rest_back(struct rest *rest, uint64_t now);
// Returns whether enough failures in a row are confirmed that one more counts as the host's fault too.
bool rest_suspects(const struct rest *rest);
// Returns whether to ask a resting host because there is no other one. An unreachable host is asked once a second.
bool rest_may_ask(struct rest *rest, uint64_t now);
