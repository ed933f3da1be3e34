// The state of other gateways with the same credentials, and of this one before its restart, as the translator sends it.

#pragma once

#include "bytes.h"

// Takes lines, and skips those that are invalid:
//     g <gateways>: the number of gateways among which quotas without a known share are divided
//     a <account> <metric> <seconds> <amount> <share> <room ms>: assigns this gateway's share of a quota (quota.h)
//     p <words>: a pause that another gateway met and reported
//     o <process> <ms ago>: the following lines are that process's report of that time. They are taken once, and not
//       by the process itself
//     p, s, h <words>: lines of such a report
void sharing_take(struct span lines, uint64_t now);
// Adds a line `o <process>`, which identifies this process, and the lines of hosts_report_pauses and
// quotas_report_shares.
void sharing_report(struct buffer *into, uint64_t now);
