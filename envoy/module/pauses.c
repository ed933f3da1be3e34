#include "pauses.h"

#include <stdatomic.h>

#include "headroom.h"
#include "hosts.h"
#include "running.h"

enum {
  // The pause after a 429 without advice.
  LIMITED_MS = 5000,
  LONGEST_LIMITED_MS = 60000,
  REFUSED_MS = 30000,
  LONGEST_REFUSED_MS = 600000,
  // A machine that is busy for a moment answers like this too, and is free again in less time than this.
  SHORTEST_OF_MACHINE_MS = 2000,
  LOGGED_EVERY_MS = 60000,
};

// Logs a pause for the operator. The target's id includes the number of its credential.
static void log_pause(const struct attempt *attempt, struct span what, uint64_t ms) {
  struct buffer line = {0};
  buffer_add(&line, SPAN("trunkline: the target "));
  buffer_add(&line, attempt->target.id);
  buffer_add(&line, what);
  buffer_add_number(&line, attempt->head.status);
  buffer_add(&line, SPAN("); others are used instead for "));
  buffer_add_number(&line, (ms + 999) / 1000);
  buffer_add(&line, SPAN(" s at least"));
  CALLBACK(log)(LOG_WARNING, buffer_span(&line));
  buffer_free(&line);
}

// Limits come and go: the log has at most one a minute.
static bool may_log_limit(void) {
  static atomic_uint_fast64_t logged;
  uint64_t now = hosts_now(), before = logged;
  return (!before || now - before >= LOGGED_EVERY_MS) && atomic_compare_exchange_strong(&logged, &before, now);
}

static bool pause_limited(struct attempt *attempt) {
  const struct advice *advice = &attempt->head.advice;
  if (attempt->target.node && advice->wait_ms < SHORTEST_OF_MACHINE_MS) return false;
  struct pause pause = {.cause = 429, .for_all = advice->exhausted, .ms = advice->wait_ms, .max_ms = advice->wait_ms};
  pause.stated = advice->wait_ms > 0;
  if (!pause.stated) pause.ms = LIMITED_MS, pause.max_ms = LONGEST_LIMITED_MS;
  if (request_paused(attempt->request, attempt->host, pause) && may_log_limit()) {
    log_pause(attempt, SPAN(" is at its limit ("), pause.ms);
  }
  return true;
}

// 498 and most of 401 are the credential's fault. 402 and 403 may be the request's own: too expensive for the account's
// remainder, or against the provider's rules; so may a 401 that names a permission.
static bool pause_refused(struct attempt *attempt) {
  if (attempt->target.node) return false;
  bool for_all = (attempt->head.status == 401 && !attempt->limited_to_caller) || attempt->head.status == 498;
  const struct pause pause = {.cause = attempt->head.status,
                              .for_all = for_all,
                              .stated = true,
                              .ms = REFUSED_MS,
                              .max_ms = LONGEST_REFUSED_MS};
  if (request_paused(attempt->request, attempt->request->credential, pause)) {
    log_pause(attempt, SPAN(" refuses its credential ("), pause.ms);
  }
  return true;
}

void pause_ahead(const struct attempt *attempt) {
  const struct advice *advice = &attempt->head.advice;
  running_watch();
  if (!attempt->target.node) headroom_take(attempt->host, advice->quotas, advice->quota_count, hosts_now());
  if (attempt->target.node || attempt->head.status == 429 || !advice->exhausted) return;
  struct pause pause = {
      .cause = CAUSE_QUOTA, .for_all = true, .stated = true, .ms = advice->wait_ms, .max_ms = advice->wait_ms};
  if (!pause.ms) pause.stated = false, pause.ms = pause.max_ms = LIMITED_MS;
  if (request_paused(attempt->request, attempt->host, pause) && may_log_limit()) {
    log_pause(attempt, SPAN(" has used up its quota ("), pause.ms);
  }
}

bool pause_after(struct attempt *attempt, enum fate fate) {
  return fate == FATE_LIMITED ? pause_limited(attempt) : fate == FATE_REFUSED && pause_refused(attempt);
}
