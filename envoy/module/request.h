// What is known of one request: what the translator said about it, and what its attempts used. The filter that asks
// the translator makes it, the filters of the attempts find it by Envoy's filter state, and the access log is told
// when the stream is complete. All on the stream's worker thread.

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

// Bytes of the body that are replaced.
struct edit {
  uint64_t offset, length;
  struct span text;
};

// For the machines of a pool, where neither filter state nor metadata is to be seen: which one to prefer, as a number.
#define AFFINITY_HEADER SPAN("x-trunkline-affinity")

// For a node, the model of a request that names none in its body, as a JSON string.
#define MODEL_HEADER SPAN("x-trunkline-model")

struct request {
  unsigned references;

  // From the translator; the spans point into `answer`.
  struct buffer answer;
  struct span path;          // path and query below the API version, e.g. /chat/completions
  bool wants_usage;          // a stream whose client did not ask for its usage: `usage` is what asks for it
  struct edit usage;
  struct edit model;         // where the model stands in the body; `text` is empty where it is not known
  char model_kind;  // j: there is a JSON string; f: a form's text; o: an object begins that has none; p: a form
  struct span excluded;           // ids of targets where the request does not fit, with tabs between them
  struct span log_context;            // for the log: the words of translator/log_context.py
  struct span client_headers;  // lines for the client's answer
  bool sticky;               // the request has a place: AFFINITY_HEADER has the hash of it until the first attempt
  bool sticks_to_target;     // not only within a pool of machines
  uint64_t hash;
  // The request is about a response that one place has made, and goes nowhere else: its cluster, and its machine if it
  // is a pool.
  struct span bound, machine;
  bool fetches;              // and only fetches it: usage in the answer was paid for before
  struct connection *connection;         // on which the translator was asked, as check `number`
  uint64_t number;

  // From the specifier.
  uint64_t stream;  // the random value of the stream; 0 until it is known
  struct choice choice;
  uint64_t cluster, credential;  // the chosen ones, by their numbers in the table of hosts
  bool probes, proves;           // whether this request is to find out about the cluster, about the credential
  struct charge charge;          // what the running attempt took from the credential's quotas
  unsigned charged_attempts;     // that had begun before that one

  // From the attempts.
  unsigned attempts, failures;
  struct outcome outcome;
  bool limited;  // no target was asked, because all that live are limited; `outcome` says until when
  unsigned status;  // the true one of the answer that Envoy is shown as STATUS_FINAL or STATUS_RETRY
  uint64_t missed;  // the host whose attempt ended without an answer just now, or 0
  uint64_t failed_hosts[8];  // where attempts failed that no other host has served yet
  size_t failed_host_count;
  struct buffer place;        // the cluster of the running attempt, of requests that make responses
  bool response_created;                  // the translator knows which response
  struct buffer target;  // of the running attempt
  struct buffer upstream_id;  // by which its target calls the request
  struct buffer failed;  // "<target>=<status>:<ms> …", status 0 where nothing came back; at last `cancelled`, if it was
  uint64_t since;  // when the last attempt that failed had, or the request began, in monotonic ms; 0: not known
  struct facts facts;  // what the target said about the cost
  bool streamed;
  uint64_t events, event_bytes;  // whole events, and the bytes up to the end of the last one
  struct live live;
  bool cancelled;  // by an operator
};

// From the head of the translator's answer; NULL if it is none.
struct request *request_new(struct span head, envoy_filter filter);
struct request *request_of(envoy_filter filter);
// The specifier sees no filter state, but a random value that is the stream's. While a stream is routed for the first
// time, its request is the one that was given here; from then on it is known by the random value. NULL ends that.
void request_routes(struct request *request);
// The request of an attempt; no reference is taken, because its stream has one. NULL if there is none.
struct request *request_of_choice(uint64_t random);
// Whether the request may go to a cluster, which is that of a target: `<id>`, `<id>#<number>` for another credential,
// or `<id>@<audience>` for an audience's own machines.
bool request_fits(const struct request *request, struct span cluster);
void request_release(struct request *request);
struct caller request_caller(const struct request *request);
// The tokens that the translator reserved for it.
uint64_t request_tokens(const struct request *request);
void request_failed(struct request *request, struct span status);
// All targets that live are limited, the first for `ms` more.
void request_limited(struct request *request, uint64_t ms);
// An attempt failed, which is the host's fault if another one serves the request.
void request_failed_at(struct request *request, uint64_t host);
// What becomes of `missed`, now that the request goes on: whether there had been a connection. Where the client left,
// this is never said, for that says nothing about the host.
void request_missed(struct request *request, bool connected);
void request_served_by(struct request *request, uint64_t host);
// The target wants no more requests like this for a while: the host that is limited, or the credential that is refused.
// Returns whether that is news.
bool request_paused(const struct request *request, uint64_t host, struct pause pause);
// Gives an answer that was shown to Envoy with another status its true one back.
void request_restore_status(const struct request *request, envoy_filter filter);
// Whether it makes a response that may be asked for again.
bool request_makes(const struct request *request);
// Tells the translator that the running attempt makes the response `id`, at the machine `node` of a pool.
void request_response_created(struct request *request, struct span id, struct span node);
// Tells the access log what it shall know, and settles what was taken from quotas.
void request_log(struct request *request, envoy_filter filter);
