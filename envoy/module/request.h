// The state of one request: what the translator said about it, and what its attempts used. The authorise filter creates
// it, the attempts' filters find it in Envoy's filter state, and the access log gets it when the stream is complete.
// All on the stream's worker thread.

#pragma once

#include "abi.h"
#include "bytes.h"
#include "connection.h"
#include "facts.h"
#include "hosts.h"
#include "live.h"
#include "outcome.h"
#include "plan.h"
#include "quota.h"

// A replacement of bytes of the body.
struct edit {
  uint64_t offset, length;
  struct span text;
};

// The preferred machine of a pool, as a number: a load balancing policy sees neither filter state nor metadata.
#define AFFINITY_HEADER SPAN("x-trunkline-affinity")

// Tells a node the model of a request whose body names none, as a JSON string.
#define MODEL_HEADER SPAN("x-trunkline-model")

struct request {
  unsigned references;

  // From the translator; the spans point into `answer`.
  struct buffer answer;
  struct span path;  // path and query below the API version, e.g. /chat/completions
  bool wants_usage;  // a stream whose client did not request its usage: `usage` is the edit that requests it
  struct edit usage;
  struct edit model;  // where the model stands in the body; `text` is empty if unknown
  char model_kind;  // j: a JSON string; f: a form's text; o: an object that names no model; p: a form that names none
  struct span excluded;  // ids of targets that must not get the request, separated by tabs
  struct span log_context;  // for the log, see translator/log_context.py
  struct span client_headers;  // lines for the client's answer
  bool sticky;  // the request has an affinity: AFFINITY_HEADER has its hash until the first attempt
  bool sticks_to_target;  // not only within a pool of machines
  uint64_t hash;
  // The request is about an existing response and goes only to the place that created it: its cluster, and its machine
  // if that is a pool.
  struct span bound, machine;
  bool fetches;  // it only fetches the response, whose usage was paid for before
  struct connection *connection;  // that carried check `number`
  uint64_t number;

  // From the specifier.
  uint64_t stream;  // the random value of the stream; 0 until it is known
  struct choice choice;
  uint64_t cluster, credential;  // the chosen ones' numbers in the table of hosts
  bool probes, proves;  // whether this request probes the cluster, or the credential
  struct charge charge;  // what the running attempt took from the credential's quotas
  unsigned charged_attempts;  // attempts that had begun before that one

  // From the attempts.
  unsigned attempts, failures;
  bool resized;  // an attempt has edited the body, which has `body_size` bytes, and stated another length
  uint64_t body_size;
  struct outcome outcome;
  bool limited;  // no target was asked because all live ones are limited; `outcome` says until when
  unsigned status;  // the true status of an answer that Envoy sees as STATUS_FINAL or STATUS_RETRY
  uint64_t missed;  // the host whose attempt just ended without an answer, or 0
  uint64_t failed_hosts[8];  // where attempts failed; no other host has served the request yet
  size_t failed_host_count;
  struct buffer place;  // the cluster of the running attempt, if the request creates a response
  bool response_created;  // the translator knows the created response
  bool turned_away;  // the translator knows that machines are busier than it counts
  struct buffer target;  // of the running attempt
  struct buffer upstream_id;  // the target's id of the request
  struct buffer failed;  // "<target>=<status>:<ms> …", with status 0 without an answer, and `cancelled` at the end if
  // it was
  uint64_t since;  // when the last failed attempt failed, or else the request began, in monotonic ms; 0: unknown
  struct facts facts;  // what the target reported about the cost
  bool streamed;
  uint64_t events, event_bytes;  // complete events, and the bytes up to the end of the last one
  struct live live;
  bool cancelled;  // by an operator
};

// Parses the head of the translator's answer; returns NULL if it is invalid.
struct request *request_new(struct span head, envoy_filter filter);
struct request *request_of(envoy_filter filter);
// Registers the request whose stream is being routed; NULL ends that. The specifier sees no filter state, only a random
// value of the stream. The first time a stream is routed, its request is the registered one; afterwards, it is found by
// the random value.
void request_routes(struct request *request);
// Returns the request of an attempt, without a reference, because its stream has one; NULL if there is none.
struct request *request_of_choice(uint64_t random);
// Returns whether the request may go to a cluster, which belongs to a target: `<id>`, `<id>#<number>` for another
// credential, or `<id>@<audience>` for an audience's own machines.
bool request_fits(const struct request *request, struct span cluster);
void request_release(struct request *request);
struct caller request_caller(const struct request *request);
// Returns the tokens that the translator reserved for it.
uint64_t request_tokens(const struct request *request);
void request_failed(struct request *request, struct span status);
// All live targets are limited, the first of them for `ms` more.
void request_limited(struct request *request, uint64_t ms);
// An attempt failed, which is the host's fault if another one serves the request.
void request_failed_at(struct request *request, uint64_t host);
// Accounts for `missed` now that the request goes on; `connected` says whether there was a connection. Not called if
// the client left, which says nothing about the host.
void request_missed(struct request *request, bool connected);
void request_served_by(struct request *request, uint64_t host);
// The target accepts no more requests like this for a while: the host is limited, or the credential refused. Returns
// whether that is news.
bool request_paused(const struct request *request, uint64_t host, struct pause pause);
// Tells the translator that a machine was too busy for the request, which waits for it, or that one serves it now. Does
// nothing if the translator knows.
void request_turned_away(struct request *request, bool away);
// Restores the true status of an answer that Envoy saw with another one.
void request_restore_status(const struct request *request, envoy_filter filter);
// Returns whether it creates a response that may be referred to later.
bool request_makes(const struct request *request);
// Tells the translator that the running attempt creates the response `id`, at the machine `node` of a pool.
void request_response_created(struct request *request, struct span id, struct span node);
// Writes the request's fields for the access log, and settles what it took from quotas.
void request_log(struct request *request, envoy_filter filter);
