// The recent use of credentials, and whether their quotas have room for more: counts for all workers.
//
// A quota bounds the requests or tokens of every window of its length. A window slides by sixtieths of its length, and
// its oldest part counts completely, so no window ever has more than the amount. An attempt takes its request and its
// reserved tokens before it is sent; the tokens actually used replace them afterwards. Times are milliseconds of a
// monotonic clock.
//
// Several gateways may use one credential. The control plane divides each quota among them, and this gateway may use its
// share. A quota whose share is not known yet is divided equally by the number of gateways.

#pragma once

#include "bytes.h"

enum { MAX_QUOTAS = 8 };

enum quota_metric { QUOTA_REQUESTS, QUOTA_TOKENS };

struct quota {
  enum quota_metric metric;
  uint64_t seconds, amount;
};

// The quotas of one credential, by its number in the table of hosts.
struct quotas {
  uint64_t account;
  size_t count;
  struct quota all[MAX_QUOTAS];
};

// The amount that one attempt has taken.
struct charge {
  uint64_t account;  // 0: nothing was taken
  uint64_t tokens, at;
};

// Parses `<metric><seconds>:<amount>` items separated by semicolons, such as `r60:500;t86400:1000000`. Returns false
// for anything else.
bool quotas_parse(struct span text, uint64_t account, struct quotas *quotas);
// Returns how long until all quotas have room for one request of this many tokens; 0: now. A request that is larger
// than a quota has room if nothing else has used the quota.
uint64_t quotas_wait(const struct quotas *quotas, uint64_t tokens, uint64_t now);
// Takes from all quotas; or from none if one of them has no room and it is not `forced`. Returns whether it took.
bool quotas_take(const struct quotas *quotas, uint64_t tokens, uint64_t now, bool forced, struct charge *charge);
// Returns what a request took that was not sent.
void charge_return(struct charge *charge, uint64_t now);
// Adds a line `q <account> <metric> <seconds> <amount> <used> <ms until there is room> <ms without>` for each quota
// that was checked in its last window.
void quotas_report(struct buffer *into, uint64_t now);
// Adds a line `s <account> <metric> <seconds> <amount> <share> <wanted>` for each of these quotas, followed by an item
// `<ms ago>:<used>` for what was used in each part of the window, as of its end. `wanted` is what requests were refused lately.
void quotas_report_shares(struct buffer *into, uint64_t now);
// Replaces the reserved tokens by those that were used.
void charge_settle(struct charge *charge, uint64_t tokens, uint64_t now);

// Sets among how many gateways quotas without a known share are divided.
void quotas_divide(uint64_t gateways);
// Sets this gateway's share of a quota. `room_ms`: when the other gateways have room again, if the share is too small.
void quotas_share(uint64_t account, const struct quota *quota, uint64_t share, uint64_t room_ms, uint64_t now);
// Adds what was used before this process began.
void quotas_restore(uint64_t account, const struct quota *quota, uint64_t age_ms, uint64_t used, uint64_t now);
// Parses a quota's metric, `r` or `t`.
bool quota_metric(struct span word, enum quota_metric *metric);
// Returns whether its window and amount are within bounds.
bool quota_is_valid(const struct quota *quota);
