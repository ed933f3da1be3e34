// What the translator tells about other gateways with the same credentials, and about this one before its restart.

#pragma once

#include "bytes.h"

// Takes lines, and skips those that are invalid:
//     g <gateways>: among how many gateways quotas without a known share are divided
//     a <account> <metric> <seconds> <amount> <share> <room ms>: assigns this gateway's share of a quota (quota.h)
//     p <words>: a pause that another gateway met, as it reports it
//     o <process> <ms ago>: the following lines are what that process reported then. They are taken once, and not by
//       the process itself
//     p, s, h <words>: lines of such a report
void sharing_take(struct span lines, uint64_t now);
// Adds a line `o <process>`, which identifies this process, and the lines of hosts_report_pauses and
// quotas_report_shares.
void sharing_report(struct buffer *into, uint64_t now);
