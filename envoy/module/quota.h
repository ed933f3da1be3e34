// What credentials have been used for lately, and whether their quotas leave room for more: counts for all workers.
//
// A quota bounds the requests or tokens of every window of its length. A window slides by sixtieths of its length, and
// its oldest part counts whole, so that no window ever has more than the amount. An attempt takes its request, and the
// tokens that its request reserved, before it is sent; what it really used replaces the tokens afterwards. Times are
// milliseconds of a monotonic clock.

#pragma once

#include "bytes.h"

enum { MOST_QUOTAS = 8 };

enum quota_metric { QUOTA_REQUESTS, QUOTA_TOKENS };

struct quota {
  enum quota_metric metric;
  uint64_t seconds, amount;
};

// Those of one credential, by its number in the table of hosts.
struct quotas {
  uint64_t account;
  size_t count;
  struct quota all[MOST_QUOTAS];
};

// What one attempt has taken.
struct charge {
  uint64_t account;  // 0: nothing
  uint64_t tokens, at;
};

// From its text: `<metric><seconds>:<amount>` with semicolons between them, such as `r60:500;t86400:1000000`. False if
// it is not that.
bool quotas_parse(struct span text, uint64_t account, struct quotas *quotas);
// How long until all of the quotas have room for one request of so many tokens; 0: they have it now. A request that is
// larger than a quota has room where nothing else has used it.
uint64_t quotas_wait(const struct quotas *quotas, uint64_t tokens, uint64_t now);
// Takes from all of the quotas, or, where one of them has no room and it is not `forced`, from none. Returns whether it
// took.
bool quotas_take(const struct quotas *quotas, uint64_t tokens, uint64_t now, bool forced, struct charge *charge);
// Gives back a request that was not sent.
void charge_return(struct charge *charge, uint64_t now);
// Adds a line `q <account> <metric> <seconds> <amount> <used> <ms until there is room> <ms without>` for each quota that was asked
// about in its last window.
void quotas_report(struct buffer *into, uint64_t now);
// Replaces the tokens that were reserved by those that were used.
void charge_settle(struct charge *charge, uint64_t tokens, uint64_t now);
