#include "hosts.h"

#include <stdlib.h>

#include "driver.h"

// The caller is two numbers: key and user. Keys from 100 on belong to organisations of a hundred, others to one each.
static struct caller next_caller(struct span *command) {
  struct caller caller = {.key = next_number(command)};
  caller.organisation = caller.key < 100 ? caller.key : 1000 + caller.key / 100;
  caller.user = next_number(command);
  return caller;
}

// Operations on hosts that are numbers: confirm <now> <count> <host …> | unreachable <host> <now> |
// away <host> <now> | back <host> <now> | answered <host> <now> | served <host> <now> <caller> <probe> | pause <host> <now> <caller> <for all> <stated> <ms>
// <most ms> | state <host> <now> <caller> <random> | enter <host> <now> <caller> <random> | suspects <host> | ask <host> <now>.
// From `pause` on they answer: whether one begins; the state; whether it entered, and as a probe; whether.
void hosts_driver(struct span command, struct buffer *answer) {
  while (has_next(&command)) {
    struct span what = next_text(&command);
    uint64_t host = next_number(&command);
    if (span_is(what, SPAN("confirm"))) {
      size_t count = next_number(&command);
      uint64_t *hosts = allocate(count * sizeof *hosts);
      for (size_t at = 0; at < count; at++) hosts[at] = next_number(&command);
      hosts_confirm(hosts, count, host);
      free(hosts);
    } else if (span_is(what, SPAN("unreachable"))) {
      hosts_unreachable(host, next_number(&command));
    } else if (span_is(what, SPAN("away"))) {
      next_number(&command);
      hosts_away(host);
    } else if (span_is(what, SPAN("back"))) {
      hosts_back(host, next_number(&command));
    } else if (span_is(what, SPAN("answered"))) {
      hosts_answered(host, next_number(&command));
    } else if (span_is(what, SPAN("served"))) {
      uint64_t now = next_number(&command);
      struct caller caller = next_caller(&command);
      hosts_served(host, caller, next_number(&command), now);
    } else if (span_is(what, SPAN("pause"))) {
      uint64_t now = next_number(&command);
      struct pause pause = {.caller = next_caller(&command)};
      pause.for_all = next_number(&command);
      pause.stated = next_number(&command);
      pause.ms = next_number(&command);
      pause.max_ms = next_number(&command);
      put_number(answer, hosts_pause(host, &pause, now));
    } else if (span_is(what, SPAN("state"))) {
      uint64_t now = next_number(&command);
      struct caller caller = next_caller(&command);
      put_number(answer, hosts_state(host, caller, next_number(&command), now));
    } else if (span_is(what, SPAN("enter"))) {
      uint64_t now = next_number(&command);
      struct caller caller = next_caller(&command);
      bool probe;
      put_number(answer, hosts_enter(host, caller, next_number(&command), now, &probe));
      put_number(answer, probe);
    } else if (span_is(what, SPAN("suspects"))) {
      put_number(answer, hosts_suspects(host));
    } else {
      put_number(answer, hosts_may_ask(host, next_number(&command)));
    }
  }
}
