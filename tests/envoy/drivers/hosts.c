#include "hosts.h"

#include <stdlib.h>

#include "driver.h"

// Operations on hosts that are numbers: confirm <now> <count> <host …> | unreachable <host> <now> | answered <host> |
// served <host> | rests <host> <now> | suspects <host> | ask <host> <now>. The last three answer.
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
    } else if (span_is(what, SPAN("answered"))) {
      hosts_answered(host);
    } else if (span_is(what, SPAN("served"))) {
      hosts_served(host);
    } else if (span_is(what, SPAN("rests"))) {
      put_number(answer, hosts_rests(host, next_number(&command)));
    } else if (span_is(what, SPAN("suspects"))) {
      put_number(answer, hosts_suspects(host));
    } else {
      put_number(answer, hosts_may_ask(host, next_number(&command)));
    }
  }
}
