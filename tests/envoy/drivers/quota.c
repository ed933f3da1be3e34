#include "quota.h"

#include "driver.h"
#include "headroom.h"
#include "hosts.h"
#include "sharing.h"
#include "usage.h"

enum { MOST_CHARGES = 4096 };

// Operations on the quotas of accounts that are numbers: wait <account> <quotas> <tokens> <now> |
// take <account> <quotas> <tokens> <now> <forced> <charge> | return <charge> <now> | settle <charge> <tokens> <now> |
// usage <report> <report at the start> | number <cluster or credential> <name> | report <now> |
// share <lines> <now> | shared <now>. Answers: the wait in ms; whether it took; whether a report says, and how many.
// Charges are numbers too. What are no quotas answers `no`.
void quota_driver(struct span command, struct buffer *answer) {
  static struct charge charges[MOST_CHARGES];
  while (has_next(&command)) {
    struct span what = next_text(&command);
    if (span_is(what, SPAN("usage"))) {
      struct facts facts = {0};
      facts_report(&facts, REPORT_USAGE, next_text(&command));
      facts_report(&facts, REPORT_START, next_text(&command));
      uint64_t tokens = 0;
      put_number(answer, usage_tokens(&facts, &tokens));
      put_number(answer, tokens);
      facts_free(&facts);
      continue;
    }
    if (span_is(what, SPAN("number"))) {
      bool cluster = span_is(next_text(&command), SPAN("cluster"));
      struct span name = next_text(&command);
      put_number(answer, cluster ? host_of_cluster(name) : host_of_credential(name));
      continue;
    }
    if (span_is(what, SPAN("share"))) {
      struct span lines = exact_copy(next_text(&command));
      sharing_take(lines, next_number(&command));
      free_copy(lines);
      continue;
    }
    if (span_is(what, SPAN("shared"))) {
      struct buffer lines = {0};
      sharing_report(&lines, next_number(&command));
      put_text(answer, buffer_span(&lines));
      buffer_free(&lines);
      continue;
    }
    if (span_is(what, SPAN("report"))) {
      struct buffer lines = {0};
      uint64_t now = next_number(&command);
      quotas_report(&lines, now);
      hosts_report(&lines, now);
      headroom_report(&lines, now);
      put_text(answer, buffer_span(&lines));
      buffer_free(&lines);
      continue;
    }
    uint64_t number = next_number(&command);
    if (span_is(what, SPAN("return"))) {
      charge_return(&charges[number], next_number(&command));
      continue;
    }
    if (span_is(what, SPAN("settle"))) {
      uint64_t tokens = next_number(&command);
      charge_settle(&charges[number], tokens, next_number(&command));
      continue;
    }
    struct quotas quotas;
    bool sound = quotas_parse(next_text(&command), number, &quotas);
    uint64_t tokens = next_number(&command), now = next_number(&command);
    if (!sound) {
      put_text(answer, SPAN("no"));
    } else if (span_is(what, SPAN("wait"))) {
      put_number(answer, quotas_wait(&quotas, tokens, now));
    } else {
      bool forced = next_number(&command);
      put_number(answer, quotas_take(&quotas, tokens, now, forced, &charges[next_number(&command)]));
    }
  }
}
