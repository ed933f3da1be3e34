// The rests of hosts and credentials, with their causes (rest.h): one table for all workers.
//
// A failed attempt says little by itself, because the request may be one that fails everywhere. The failure is
// *confirmed* as the host's fault once another host has served the same request. A host that cannot be connected to has
// seen nothing of the request, so that failure needs no confirmation.
//
// Resting after failures is a preference: if nothing else lives, resting hosts are asked nevertheless. The table is
// bounded; the least recently used records are forgotten first. Times are milliseconds of a monotonic clock.

#pragma once

#include "bytes.h"
#include "rest.h"

// Returns the number of a cluster by its name; if it has one host, this is the host too. Never 0.
uint64_t host_of_cluster(struct span name);
// Returns the number of a node in a pool.
uint64_t host_of_node(uint64_t cluster, struct span node);
// Returns the number of a provider's credential, by its mark in the plan.
uint64_t host_of_credential(struct span name);

// Another host served a request that had failed at these hosts.
void hosts_confirm(const uint64_t *hosts, size_t count, uint64_t now);
// No connection to the host could be made.
void hosts_unreachable(uint64_t host, uint64_t now);
// The host answered, even if with an error.
void hosts_answered(uint64_t host, uint64_t now);
// `probe` says that the request entered while the host trickled.
void hosts_served(uint64_t host, struct caller caller, bool probe, uint64_t now);
// The host said that it accepts nothing for a while. Returns whether this begins a pause.
bool hosts_pause(uint64_t host, const struct pause *pause, uint64_t now);
// Takes over a pause that another gateway met, or this one before a restart.
void hosts_adopt(uint64_t host, const struct foreign_pause *pause, uint64_t now);
// Adds a line `p <host> <foreign> <cause> <reach> <breadth> <stated> <organisation> <key> <user> <pauses> <ms since>
// <ms left>` for each pause.
void hosts_report_pauses(struct buffer *into, uint64_t now);

// Envoy's health checks found the host dead, or alive again.
void hosts_away(uint64_t host);
void hosts_back(uint64_t host, uint64_t now);

// Returns whether the table is empty, as nearly always: then every host is open.
bool hosts_are_open(void);
enum host_state hosts_state(uint64_t host, struct caller caller, uint64_t random, uint64_t now);
// Enters a request if the host is open to it. Returns false if it is not, because another request has entered
// meanwhile. `*probe` says whether the request is a probe.
bool hosts_enter(uint64_t host, struct caller caller, uint64_t random, uint64_t now, bool *probe);
// Returns when the pause of a paused host ends.
uint64_t hosts_paused_until(uint64_t host);
// Returns whether enough failures in a row are confirmed that one more counts as the host's fault too.
bool hosts_suspects(uint64_t host);
// Returns whether to ask a resting host because there is no other one. An unreachable host is asked once a second, so
// that all other requests are answered at once.
bool hosts_may_ask(uint64_t host, uint64_t now);

// Adds a line `r <host> <cause> <for all> <ms since> <ms left>` for each host or credential that rests for more than
// the caller that met the refusal. The cause is the status of the answer that caused it, or one of rest.h.
void hosts_report(struct buffer *into, uint64_t now);

// Returns the current time.
uint64_t hosts_now(void);
