#include "quota.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum {
  PARTS = 60,
  KEPT = PARTS + 1,
  // The wait for a larger share, which the control plane may grant at any time.
  SHARE_WAIT_MS = 1000,
  // What was refused is reported for as long as two of these.
  WANTED_MS = 1000,
};

static const uint64_t MAX_SECONDS = 31 * 86400, MAX_AMOUNT = 1000000000000000;

struct counter {
  enum quota_metric metric;
  uint64_t seconds;  // 0: free
  uint64_t amount;   // of the quota that was checked last
  uint64_t looked;   // when its quota was checked last
  uint64_t full;     // since when there was no room; 0: there was room
  bool shared;       // `share` is known
  uint64_t share;    // of the amount: what this gateway may use
  uint64_t room_at;  // when the other gateways have room
  uint64_t wanted, wanted_before, wanted_in;  // what was refused in the WANTED_MS with this number, and in those before
  uint64_t refused_at, refused;  // the last request that was refused
  uint64_t part;  // the newest
  uint64_t total, used[KEPT];
};

struct account {
  struct counter counters[MAX_QUOTAS];
};

// A credential gets an account with its first request and keeps it: operators have few credentials.
static struct table accounts;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t divisor = 1;

bool quota_metric(struct span word, enum quota_metric *metric) {
  if (word.size != 1 || (word.data[0] != 'r' && word.data[0] != 't')) return false;
  *metric = word.data[0] == 'r' ? QUOTA_REQUESTS : QUOTA_TOKENS;
  return true;
}

bool quota_is_valid(const struct quota *quota) {
  return quota->seconds && quota->seconds <= MAX_SECONDS && quota->amount && quota->amount <= MAX_AMOUNT;
}

static bool parse_quota(struct span text, struct quota *quota) {
  struct span seconds = span_next(&text, ':');
  if (!seconds.size || !quota_metric(span_between(seconds, 0, 1), &quota->metric)) return false;
  return span_number(span_from(seconds, 1), &quota->seconds) && span_number(text, &quota->amount) &&
         quota_is_valid(quota);
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

// Returns how much of the amount this gateway may use.
static uint64_t budget(const struct counter *counter, uint64_t amount) {
  uint64_t share = counter->shared ? counter->share : amount / divisor;
  return share < amount ? share : amount;
}

// Returns how long until enough has left the window. What is larger than the quota needs all of it.
static uint64_t wait_ms(const struct counter *counter, uint64_t amount, uint64_t more, uint64_t now) {
  uint64_t left = counter->total, allowed = budget(counter, amount);
  uint64_t oldest = counter->part < PARTS ? 0 : counter->part - PARTS;
  if (more > amount) more = amount;
  if (left + more <= allowed) return 0;
  for (uint64_t part = oldest; left && part <= counter->part; part++) {
    left -= counter->used[part % KEPT];
    if (left + more <= allowed) return (part + KEPT) * part_ms(counter) - now;
  }
  uint64_t elsewhere = counter->room_at > now ? counter->room_at - now : 0;
  return elsewhere > SHARE_WAIT_MS ? elsewhere : SHARE_WAIT_MS;
}

// Returns what was refused lately.
static uint64_t wanted(struct counter *counter, uint64_t now) {
  uint64_t number = now / WANTED_MS;
  if (counter->wanted_in != number) {
    counter->wanted_before = counter->wanted_in + 1 == number ? counter->wanted : 0;
    counter->wanted = 0;
    counter->wanted_in = number;
  }
  return counter->wanted > counter->wanted_before ? counter->wanted : counter->wanted_before;
}

// Notes what was refused. A request meets a quota at several targets, and counts once.
static void refuse(struct counter *counter, uint64_t amount, uint64_t more, uint64_t now) {
  if (counter->refused_at == now && counter->refused == more) return;
  counter->refused_at = now;
  counter->refused = more;
  wanted(counter, now);
  counter->wanted += more < amount ? more : amount;
  if (counter->wanted > amount) counter->wanted = amount;
}

static uint64_t longest_wait(struct account *account, const struct quotas *quotas, uint64_t tokens, uint64_t now) {
  uint64_t longest = 0;
  for (size_t at = 0; at < quotas->count; at++) {
    const struct quota *quota = &quotas->all[at];
    struct counter *counter = find(account, quota, now);
    uint64_t more = taken(quota, tokens), ms = wait_ms(counter, quota->amount, more, now);
    if (ms) refuse(counter, quota->amount, more, now);
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

void quotas_divide(uint64_t gateways) { divisor = gateways ? gateways : 1; }

void quotas_share(uint64_t account, const struct quota *quota, uint64_t share, uint64_t room_ms, uint64_t now) {
  pthread_mutex_lock(&lock);
  struct counter *counter = find(account_of(account), quota, now);
  counter->shared = true;
  counter->share = share;
  counter->room_at = room_ms ? now + room_ms : 0;
  pthread_mutex_unlock(&lock);
}

void quotas_restore(uint64_t account, const struct quota *quota, uint64_t age_ms, uint64_t used, uint64_t now) {
  if (used > MAX_AMOUNT) used = MAX_AMOUNT;
  pthread_mutex_lock(&lock);
  // The clock begins with the machine: what is older counts as of then.
  change(find(account_of(account), quota, now), now > age_ms ? now - age_ms : 0, 0, used, now);
  pthread_mutex_unlock(&lock);
}

static void begin_line(struct buffer *into, struct span kind, uint64_t account, const struct counter *counter) {
  buffer_add(into, kind);
  buffer_add_number(into, account);
  buffer_add(into, counter->metric == QUOTA_REQUESTS ? SPAN(" r") : SPAN(" t"));
}

static void report(struct buffer *into, uint64_t account, struct counter *counter, uint64_t now) {
  begin_line(into, SPAN("q "), account, counter);
  uint64_t left = wait_ms(counter, counter->amount, 1, now), age = left && counter->full ? now - counter->full : 0;
  const uint64_t words[] = {counter->seconds, counter->amount, counter->total, left, age};
  buffer_add_words(into, words, sizeof words / sizeof *words);
  buffer_add(into, SPAN("\n"));
}

static void report_share(struct buffer *into, uint64_t account, struct counter *counter, uint64_t now) {
  begin_line(into, SPAN("s "), account, counter);
  const uint64_t words[] = {counter->seconds, counter->amount, budget(counter, counter->amount), wanted(counter, now)};
  buffer_add_words(into, words, sizeof words / sizeof *words);
  for (uint64_t back = 0; back <= PARTS && back <= counter->part; back++) {
    uint64_t part = counter->part - back, used = counter->used[part % KEPT], last = (part + 1) * part_ms(counter) - 1;
    if (!used) continue;
    buffer_add(into, SPAN(" "));
    buffer_add_number(into, now > last ? now - last : 0);
    buffer_add(into, SPAN(":"));
    buffer_add_number(into, used);
  }
  buffer_add(into, SPAN("\n"));
}

// Calls `add` for each quota that was checked in its last window.
static void report_all(struct buffer *into, uint64_t now,
                       void (*add)(struct buffer *, uint64_t, struct counter *, uint64_t)) {
  pthread_mutex_lock(&lock);
  for (size_t at = 0; at < accounts.capacity; at++) {
    struct account *account = accounts.entries[at].value;
    if (!accounts.entries[at].number) continue;
    for (size_t each = 0; each < MAX_QUOTAS; each++) {
      struct counter *counter = &account->counters[each];
      if (!counter->seconds || now > counter->looked + counter->seconds * 1000) continue;
      advance(counter, now);
      add(into, accounts.entries[at].number, counter, now);
    }
  }
  pthread_mutex_unlock(&lock);
}

void quotas_report(struct buffer *into, uint64_t now) { report_all(into, now, report); }

void quotas_report_shares(struct buffer *into, uint64_t now) { report_all(into, now, report_share); }
