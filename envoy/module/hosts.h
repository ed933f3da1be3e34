// Which hosts and credentials rest, and why (rest.h): one table for all workers.
//
// A failed attempt says little by itself: the request may be such that it fails everywhere. It is *confirmed* as the
// host's fault once another host has served the same request. A host that cannot even be connected to has seen nothing
// of the request, so that needs no confirmation.
//
// Resting for failures is a preference: where nothing else lives, hosts that rest are asked all the same. The table is
// bounded: the longest unused is forgotten first. Times are milliseconds of a monotonic clock.

#pragma once

#include "bytes.h"
#include "rest.h"

// A cluster by its name; where it has one host, this is the host too. Never 0.
uint64_t host_of_cluster(struct span name);
// A node of a pool.
uint64_t host_of_node(uint64_t cluster, struct span node);
// A provider's credential, by what the plan calls it.
uint64_t host_of_credential(struct span name);

// Another host has served a request that failed at these.
void hosts_confirm(const uint64_t *hosts, size_t count, uint64_t now);
// No connection to the host could be made.
void hosts_unreachable(uint64_t host, uint64_t now);
// The host answered, if only with an error.
void hosts_answered(uint64_t host, uint64_t now);
// `probe`: the request had entered while the host trickled.
void hosts_served(uint64_t host, struct caller caller, bool probe, uint64_t now);
// The host said that it takes nothing for a while. Returns whether a pause begins with it.
bool hosts_pause(uint64_t host, const struct pause *pause, uint64_t now);

// Envoy's health checks find the host dead, and alive again.
void hosts_away(uint64_t host);
void hosts_back(uint64_t host, uint64_t now);

// Whether the table is empty, as it nearly always is: then every host is open.
bool hosts_are_open(void);
enum host_state hosts_state(uint64_t host, struct caller caller, uint64_t random, uint64_t now);
// Lets a request in where the host is open to it. False: it was, and another request has entered since. `*probe` tells
// whether the request is the one to find out.
bool hosts_enter(uint64_t host, struct caller caller, uint64_t random, uint64_t now, bool *probe);
// When the pause of a host that paused ends.
uint64_t hosts_paused_until(uint64_t host);
// Whether enough failures in a row were confirmed, so that one more is the host's fault too.
bool hosts_suspects(uint64_t host);
// Whether to ask a host that rests, for want of another one. What cannot be reached is asked once a second, so that
// everybody else is answered at once.
bool hosts_may_ask(uint64_t host, uint64_t now);

// Adds a line `r <host> <cause> <for all> <ms since> <ms left>` for each host or credential that rests for more than the
// caller who met it. The cause is the status of the answer that said so, or one of rest.h.
void hosts_report(struct buffer *into, uint64_t now);

// The clock.
uint64_t hosts_now(void);
