#include "sharing.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "headroom.h"
#include "hosts.h"
#include "quota.h"

static const uint64_t LONGEST_PAUSE_MS = 600000;

// Returns a number that no other process has. All of a process's threads agree on the first one that is stored.
static uint64_t process_number(void) {
  static atomic_uint_fast64_t number;
  uint64_t none = 0;
  if (number) return number;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t made = ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000) << 8 ^ (uint64_t)getpid();
  atomic_compare_exchange_strong(&number, &none, (made & (UINT64_MAX >> 8)) | 1);
  return number;
}

// Takes exactly `count` numbers.
static bool take_numbers(struct span text, uint64_t *numbers, size_t count) {
  for (size_t at = 0; at < count; at++) {
    // Hashes may have all 64 bits, which span_number does not accept.
    struct span word = span_next(&text, ' ');
    if (!word.size || word.size > 20) return false;
    numbers[at] = 0;
    for (size_t digit = 0; digit < word.size; digit++) {
      if (word.data[digit] < '0' || word.data[digit] > '9') return false;
      numbers[at] = numbers[at] * 10 + (uint64_t)(word.data[digit] - '0');
    }
  }
  return !text.size;
}

// Takes `<account> <metric> <seconds> <amount>` off `text`.
static bool take_quota(struct span *text, uint64_t *account, struct quota *quota) {
  struct span number = span_next(text, ' '), metric = span_next(text, ' ');
  struct span seconds = span_next(text, ' '), amount = span_next(text, ' ');
  return take_numbers(number, account, 1) && quota_metric(metric, &quota->metric) && *account &&
         span_number(seconds, &quota->seconds) && quota->seconds && span_number(amount, &quota->amount) &&
         quota_is_valid(quota);
}

static void assign(struct span text, uint64_t now) {
  uint64_t account, words[2];
  struct quota quota;
  if (!take_quota(&text, &account, &quota) || !take_numbers(text, words, 2)) return;
  quotas_share(account, &quota, words[0], words[1], now);
}

// Takes the share of a quota, and what was used of it.
static void restore_quota(struct span text, uint64_t elapsed, uint64_t now) {
  uint64_t account, share, age, used;
  struct quota quota;
  if (!take_quota(&text, &account, &quota) || !take_numbers(span_next(&text, ' '), &share, 1)) return;
  span_next(&text, ' ');  // what was wanted
  quotas_share(account, &quota, share, 0, now);
  while (text.size) {
    struct span part = span_next(&text, ' '), ago = span_next(&part, ':');
    if (!span_number(ago, &age) || !span_number(part, &used)) return;
    quotas_restore(account, &quota, age + elapsed, used, now);
  }
}

static void take_pause(struct span text, uint64_t elapsed, uint64_t now) {
  enum { WORDS = 12 };
  uint64_t words[WORDS];
  if (!take_numbers(text, words, WORDS) || !words[0] || words[3] > REACH_ALL || words[4] > BREADTH_ORGANISATION) return;
  if (words[11] <= elapsed || words[11] > LONGEST_PAUSE_MS) return;
  const struct foreign_pause pause = {
      .cause = (unsigned)words[2],
      .reach = (enum reach)words[3],
      .breadth = (enum breadth)words[4],
      .stated = words[5] > 0,
      .caller = {.organisation = words[6], .key = words[7], .user = words[8]},
      .pauses = (unsigned)words[9],
      .age_ms = words[10] + elapsed,
      .left_ms = words[11] - elapsed,
  };
  hosts_adopt(words[0], &pause, now);
}

static void restore_headroom(struct span text, uint64_t elapsed, uint64_t now) {
  uint64_t host, words[3];
  struct left left = {0};
  struct span number = span_next(&text, ' '), metric = span_next(&text, ' ');
  if (!take_numbers(number, &host, 1) || !host || !metric.size || metric.size >= LONGEST_METRIC) return;
  if (!take_numbers(text, words, 3)) return;
  memcpy(left.metric, metric.data, metric.size);
  left.limit = words[0], left.remaining = words[1], left.wait_ms = words[2] > elapsed ? words[2] - elapsed : 0;
  headroom_restore(host, &left, now);
}

// Returns whether the report is for this process: an earlier one made it, and it was not taken yet.
static bool is_earlier(struct span text, uint64_t *elapsed) {
  static atomic_uint_fast64_t taken;
  uint64_t words[2];
  if (!take_numbers(text, words, 2) || words[0] == process_number()) return false;
  *elapsed = words[1];
  return atomic_exchange(&taken, words[0]) != words[0];
}

void sharing_take(struct span lines, uint64_t now) {
  uint64_t elapsed = 0, number;
  while (lines.size) {
    struct span line = span_next(&lines, '\n'), kind = span_next(&line, ' ');
    if (span_is(kind, SPAN("g")) && span_number(line, &number)) quotas_divide(number);
    if (span_is(kind, SPAN("a"))) assign(line, now);
    if (span_is(kind, SPAN("p"))) take_pause(line, elapsed, now);
    if (span_is(kind, SPAN("o")) && !is_earlier(line, &elapsed)) return;
    if (span_is(kind, SPAN("s"))) restore_quota(line, elapsed, now);
    if (span_is(kind, SPAN("h"))) restore_headroom(line, elapsed, now);
  }
}

void sharing_report(struct buffer *into, uint64_t now) {
  buffer_add(into, SPAN("o "));
  buffer_add_number(into, process_number());
  buffer_add(into, SPAN("\n"));
  hosts_report_pauses(into, now);
  quotas_report_shares(into, now);
}
