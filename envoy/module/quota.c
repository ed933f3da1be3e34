#include "quota.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { PARTS = 60, KEPT = PARTS + 1 };

static const uint64_t MAX_SECONDS = 31 * 86400, MAX_AMOUNT = 1000000000000000;

struct counter {
  enum quota_metric metric;
  uint64_t seconds;  // 0: free
  uint64_t amount;   // of the quota that was checked last
  uint64_t looked;   // when its quota was checked last
  uint64_t full;     // since when there was no room; 0: there was room
  uint64_t part;     // the newest
  uint64_t total, used[KEPT];
};

struct account {
  struct counter counters[MAX_QUOTAS];
};

// A credential gets an account with its first request and keeps it: operators have few credentials.
static struct table accounts;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool parse_quota(struct span text, struct quota *quota) {
  struct span seconds = span_next(&text, ':');
  if (!seconds.size || (seconds.data[0] != 'r' && seconds.data[0] != 't')) return false;
  quota->metric = seconds.data[0] == 'r' ? QUOTA_REQUESTS : QUOTA_TOKENS;
  return span_number(span_from(seconds, 1), &quota->seconds) && span_number(text, &quota->amount) && quota->seconds &&
         quota->seconds <= MAX_SECONDS && quota->amount && quota->amount <= MAX_AMOUNT;
}

bool quotas_parse(struct span text, uint64_t account, struct quotas *quotas) {
  *quotas = (struct quotas){.account = account};
  while (text.size) {
    if (quotas->count == MAX_QUOTAS || !parse_quota(span_next(&text, ';'), &quotas->all[quotas->count])) return false;
    quotas->count++;
  }
  return quotas->count > 0;
}

static uint64_t part_ms(const struct counter *counter) { return (counter->seconds * 1000 + PARTS - 1) / PARTS; }

// Drops what has left the window.
static void advance(struct counter *counter, uint64_t now) {
  uint64_t part = now / part_ms(counter);
  for (uint64_t passed = 0; counter->part < part && passed < KEPT; passed++) {
    counter->part++;
    counter->total -= counter->used[counter->part % KEPT];
    counter->used[counter->part % KEPT] = 0;
  }
  if (counter->part < part) counter->part = part;
}

// Returns the counter of a quota. A new one replaces the one that was not checked for the longest time.
static struct counter *find(struct account *account, const struct quota *quota, uint64_t now) {
  struct counter *found = account->counters;
  for (size_t at = 0; at < MAX_QUOTAS; at++) {
    struct counter *counter = &account->counters[at];
    if (counter->seconds == quota->seconds && counter->metric == quota->metric) {
      found = counter;
      break;
    }
    if (counter->looked < found->looked) found = counter;
  }
  if (found->seconds != quota->seconds || found->metric != quota->metric) {
    *found = (struct counter){.metric = quota->metric, .seconds = quota->seconds};
    found->part = now / part_ms(found);
  }
  found->looked = now;
  found->amount = quota->amount;
  advance(found, now);
  return found;
}

static struct account *account_of(uint64_t number) {
  struct account *account = table_find(&accounts, number);
  if (account) return account;
  account = allocate(sizeof *account);
  memset(account, 0, sizeof *account);
  table_put(&accounts, number, account);
  return account;
}

static uint64_t taken(const struct quota *quota, uint64_t tokens) {
  return quota->metric == QUOTA_REQUESTS ? 1 : tokens;
}

// Returns how long until enough has left the window.
static uint64_t wait_ms(const struct counter *counter, uint64_t amount, uint64_t more, uint64_t now) {
  uint64_t left = counter->total;
  uint64_t oldest = counter->part < PARTS ? 0 : counter->part - PARTS;
  if (!left || left + more <= amount) return 0;
  for (uint64_t part = oldest; part <= counter->part; part++) {
    left -= counter->used[part % KEPT];
    if (!left || left + more <= amount) return (part + KEPT) * part_ms(counter) - now;
  }
  return 0;
}

static uint64_t longest_wait(struct account *account, const struct quotas *quotas, uint64_t tokens, uint64_t now) {
  uint64_t longest = 0;
  for (size_t at = 0; at < quotas->count; at++) {
    const struct quota *quota = &quotas->all[at];
    struct counter *counter = find(account, quota, now);
    uint64_t ms = wait_ms(counter, quota->amount, taken(quota, tokens), now);
    if (!ms || !counter->full) counter->full = ms ? now : 0;
    if (ms > longest) longest = ms;
  }
  return longest;
}

uint64_t quotas_wait(const struct quotas *quotas, uint64_t tokens, uint64_t now) {
  pthread_mutex_lock(&lock);
  uint64_t longest = longest_wait(account_of(quotas->account), quotas, tokens, now);
  pthread_mutex_unlock(&lock);
  return longest;
}

bool quotas_take(const struct quotas *quotas, uint64_t tokens, uint64_t now, bool forced, struct charge *charge) {
  pthread_mutex_lock(&lock);
  struct account *account = account_of(quotas->account);
  bool takes = forced || !longest_wait(account, quotas, tokens, now);
  for (size_t at = 0; takes && at < quotas->count; at++) {
    struct counter *counter = find(account, &quotas->all[at], now);
    uint64_t more = taken(&quotas->all[at], tokens);
    counter->used[counter->part % KEPT] += more;
    counter->total += more;
  }
  pthread_mutex_unlock(&lock);
  if (takes) *charge = (struct charge){quotas->account, tokens, now};
  return takes;
}

// Changes what was taken at a moment, if it still counts.
static void change(struct counter *counter, uint64_t at, uint64_t less, uint64_t more, uint64_t now) {
  advance(counter, now);
  uint64_t part = at / part_ms(counter);
  if (part + PARTS < counter->part || part > counter->part) return;
  uint64_t *used = &counter->used[part % KEPT];
  if (less > *used) less = *used;
  *used += more - less;
  counter->total += more - less;
}

static void correct(struct charge *charge, uint64_t requests, uint64_t tokens, uint64_t now) {
  if (!charge->account) return;
  if (tokens > MAX_AMOUNT) tokens = MAX_AMOUNT;
  pthread_mutex_lock(&lock);
  struct account *account = account_of(charge->account);
  for (size_t at = 0; at < MAX_QUOTAS; at++) {
    struct counter *counter = &account->counters[at];
    if (!counter->seconds) continue;
    bool counts_tokens = counter->metric == QUOTA_TOKENS;
    change(counter, charge->at, counts_tokens ? charge->tokens : 1, counts_tokens ? tokens : requests, now);
  }
  pthread_mutex_unlock(&lock);
  charge->account = 0;
}

void charge_return(struct charge *charge, uint64_t now) { correct(charge, 0, 0, now); }

void charge_settle(struct charge *charge, uint64_t tokens, uint64_t now) { correct(charge, 1, tokens, now); }

static void report(struct buffer *into, uint64_t account, struct counter *counter, uint64_t now) {
  if (!counter->seconds || now - counter->looked > counter->seconds * 1000) return;
  advance(counter, now);
  buffer_add(into, SPAN("q "));
  buffer_add_number(into, account);
  buffer_add(into, counter->metric == QUOTA_REQUESTS ? SPAN(" r") : SPAN(" t"));
  uint64_t left = wait_ms(counter, counter->amount, 1, now), age = left && counter->full ? now - counter->full : 0;
  const uint64_t words[] = {counter->seconds, counter->amount, counter->total, left, age};
  buffer_add_words(into, words, sizeof words / sizeof *words);
  buffer_add(into, SPAN("\n"));
}

void quotas_report(struct buffer *into, uint64_t now) {
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < accounts.capacity; at++) {
    struct account *account = accounts.entries[at].value;
    if (!accounts.entries[at].number) continue;
    for (size_t each = 0; each < MAX_QUOTAS; each++) {
      report(into, accounts.entries[at].number, &account->counters[each], now);
    }
  }
  pthread_mutex_unlock(&lock);
}
