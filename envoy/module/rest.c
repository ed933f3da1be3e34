#include "rest.h"

enum { STRANGERS = BREADTH_ORGANISATION + 1 };

enum {
  ENOUGH = 3,  // failures in a row
  FIRST_REST_MS = 5000,
  LONGEST_REST_MS = 60000,
  ASKED_EVERY_MS = 1000,
  // The same pause arrives from another gateway with a delay.
  SAME_PAUSE_MS = 2000,
  // The initial share when it grows back.
  FIRST_SHARE = 4,
};

static enum host_state trickle(const struct rest *rest, uint64_t now) {
  return now < rest->probed_until ? HOST_RESTS : HOST_TRICKLES;
}

// Returns the narrowest group to which both belong, from BREADTH_ORGANISATION (only the organisation) down to
// BREADTH_USER; `STRANGERS` if there is none.
static int common(struct caller one, struct caller other) {
  if (one.organisation != other.organisation) return STRANGERS;
  if (one.key != other.key) return BREADTH_ORGANISATION;
  return one.user == other.user ? BREADTH_USER : BREADTH_KEY;
}

// Returns whether the caller is one of those that the host refused.
static bool was_refused(const struct rest *rest, struct caller caller) {
  return common(rest->caller, caller) <= (int)rest->breadth;
}

// Returns whether the pause concerns this caller too, now or after its end.
static bool concerns(const struct rest *rest, struct caller caller) {
  return rest->paused_until && (rest->reach != REACH_CALLER || was_refused(rest, caller));
}

// Returns whether a rest that concerns everybody is over and has to be probed.
static bool has_rested(const struct rest *rest) {
  return rest->rests || (rest->paused_until && rest->reach != REACH_CALLER);
}

uint64_t rest_share(uint64_t since, uint64_t now) {
  uint64_t share = FIRST_SHARE + WHOLE_SHARE * (now - since) / RECOVERY_MS;
  return share < WHOLE_SHARE ? share : WHOLE_SHARE;
}

enum host_state rest_state(const struct rest *rest, struct caller caller, uint64_t random, uint64_t now) {
  bool paused = now < rest->paused_until && concerns(rest, caller);
  if (paused && (rest->reach == REACH_ALL || was_refused(rest, caller))) {
    return rest->stated ? HOST_PAUSED : HOST_RESTS;
  }
  if (now < rest->rests_until) return HOST_RESTS;
  if (paused) return trickle(rest, now);
  if (rest->recovers_since) {
    // The low bits choose among targets by weight.
    return (random >> 32) % WHOLE_SHARE < rest_share(rest->recovers_since, now) ? HOST_OPEN : HOST_RESTS;
  }
  return rest->rests || concerns(rest, caller) ? trickle(rest, now) : HOST_OPEN;
}

bool rest_is_over(const struct rest *rest, uint64_t now) {
  if (rest->away || rest->confirmed || rest->unreachable || now < rest->paused_until || now < rest->rests_until)
    return false;
  return rest->recovers_since ? now - rest->recovers_since >= RECOVERY_MS : !has_rested(rest);
}

// A failure during a rest belongs to a request from before, and says nothing new.
static void begin(struct rest *rest, uint64_t now) {
  if (now < rest->rests_until) return;
  if (!rest->rests) rest->rests_since = now;
  uint64_t time = (uint64_t)FIRST_REST_MS * ++rest->rests;
  rest->rests_until = now + (time < LONGEST_REST_MS ? time : LONGEST_REST_MS);
  rest->recovers_since = rest->probed_until = 0;
}

void rest_confirm(struct rest *rest, uint64_t now) {
  if (++rest->confirmed >= ENOUGH) begin(rest, now);
}

void rest_unreachable(struct rest *rest, uint64_t now) {
  if (++rest->unreachable >= ENOUGH) begin(rest, now);
}

static void recover(struct rest *rest, uint64_t now) {
  if (!rest->recovers_since) rest->recovers_since = now;
  rest->rests_until = rest->paused_until = rest->probed_until = 0;
}

void rest_answered(struct rest *rest, uint64_t now) {
  bool was_away = rest->unreachable >= ENOUGH && !rest->confirmed;
  rest->unreachable = 0;
  if (was_away && now >= rest->paused_until) recover(rest, now);
}

void rest_served(struct rest *rest, struct caller caller, bool probe, uint64_t now) {
  rest->confirmed = rest->unreachable = 0;
  if (now < rest->paused_until) {
    if (!was_refused(rest, caller)) rest->serves_others = true;
    // Any request but a probe began before the host paused.
    if (probe && !was_refused(rest, caller) && rest->reach == REACH_UNKNOWN) rest->reach = REACH_CALLER;
    if (probe) rest->probed_until = 0;
    rest->rests_until = rest->rests = 0;
  } else if (has_rested(rest)) {
    recover(rest, now);
  } else if (rest->paused_until && was_refused(rest, caller)) {
    rest->paused_until = 0;
  }
}

bool rest_pause(struct rest *rest, const struct pause *pause, uint64_t now) {
  bool running = now < rest->paused_until, concerned = running && was_refused(rest, pause->caller);
  bool confirms = running && !concerned && rest->reach == REACH_UNKNOWN;
  bool known = rest->paused_until && rest->reach == REACH_ALL;
  int both = common(rest->caller, pause->caller);
  bool replaces = running && !concerned && rest->reach == REACH_CALLER && rest->serves_others && both != STRANGERS;
  bool begins = !running || (!concerned && rest->reach == REACH_CALLER && !replaces);
  if (begins) rest->pauses++;
  uint64_t ms = pause->ms;
  for (unsigned at = 1; at < rest->pauses && ms < pause->max_ms; at++) ms *= 2;
  if (ms > pause->max_ms) ms = pause->max_ms;
  if (pause->for_all || known || (confirms && both == STRANGERS)) {
    rest->reach = REACH_ALL;
  } else if (!concerned) {
    rest->reach = replaces ? REACH_CALLER : REACH_UNKNOWN;
    rest->breadth = confirms ? (enum breadth)both : BREADTH_USER;
  }
  if (!rest->paused_until) rest->paused_since = now;
  rest->serves_others = false;
  rest->cause = pause->cause;
  rest->caller = pause->caller;
  rest->stated = pause->stated || (running && rest->stated);
  rest->foreign = false;
  if (!running || now + ms > rest->paused_until) rest->paused_until = now + ms;
  rest->recovers_since = rest->probed_until = 0;
  return begins || (confirms && rest->reach == REACH_ALL);
}

void rest_adopt(struct rest *rest, const struct foreign_pause *pause, uint64_t now) {
  uint64_t until = now + pause->left_ms;
  if (now < rest->paused_until && until <= rest->paused_until + SAME_PAUSE_MS) {
    // The other gateway may have found out whom the pause concerns.
    if (rest->foreign && rest->reach == REACH_UNKNOWN) {
      rest->reach = pause->reach;
      rest->breadth = pause->breadth;
    }
    return;
  }
  rest->paused_until = until;
  rest->paused_since = now > pause->age_ms ? now - pause->age_ms : 0;
  rest->caller = pause->caller;
  rest->breadth = pause->breadth;
  rest->reach = pause->reach;
  rest->cause = pause->cause;
  rest->pauses = pause->pauses;
  rest->stated = pause->stated;
  rest->foreign = true;
  rest->recovers_since = rest->probed_until = 0;
}

void rest_away(struct rest *rest) { rest->away = true; }

void rest_back(struct rest *rest, uint64_t now) {
  if (!rest->away) return;
  rest->away = false;
  rest->recovers_since = now;
}

bool rest_suspects(const struct rest *rest) { return rest->confirmed >= ENOUGH; }

bool rest_may_ask(struct rest *rest, uint64_t now) {
  bool may = rest->unreachable < ENOUGH || now - rest->asked >= ASKED_EVERY_MS;
  if (may) rest->asked = now;
  return may;
}
