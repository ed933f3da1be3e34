// Whose fault failures are, and which hosts rest for it: one table for all workers. No I/O.
//
// A failed attempt says little by itself: the request may be such that it fails everywhere. It is *confirmed* as the
// host's fault once another host has served the same request. A host that cannot even be connected to has seen nothing
// of the request, so that needs no confirmation. From the third in a row on, each one makes the host rest, for longer
// each time; then live traffic probes it. A success forgets them all.
//
// Resting is a preference: where nothing else lives, hosts that rest are asked all the same. The table is bounded: the
// longest unused is forgotten first. Times are milliseconds of a monotonic clock.

#pragma once

#include "bytes.h"

// A cluster by its name; where it has one host, this is the host too. Never 0.
uint64_t host_of_cluster(struct span name);
// A node of a pool.
uint64_t host_of_node(uint64_t cluster, struct span node);

// Another host has served a request that failed at these.
void hosts_confirm(const uint64_t *hosts, size_t count, uint64_t now);
// No connection to the host could be made.
void hosts_unreachable(uint64_t host, uint64_t now);
// The host answered, if only with an error.
void hosts_answered(uint64_t host);
void hosts_served(uint64_t host);

bool hosts_rests(uint64_t host, uint64_t now);
// Whether enough failures in a row were confirmed, so that one more is the host's fault too.
bool hosts_suspects(uint64_t host);
// Whether to ask a host that rests, for want of another one. What cannot be reached is asked once a second, so that
// everybody else is answered at once.
bool hosts_may_ask(uint64_t host, uint64_t now);

// The clock.
uint64_t hosts_now(void);
