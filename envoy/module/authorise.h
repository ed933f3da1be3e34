// The filter that has the translator check every request. check.c receives the request and sends its checks; authorise.c
// routes the request by the answer, and follows it to its end.

#pragma once

#include "connection.h"
#include "copy.h"
#include "filters.h"
#include "frames.h"
#include "held.h"
#include "refusals.h"
#include "request.h"

enum {
  LONGEST_ID = 128,
  // Bytes that a request takes in Envoy in addition to its body: even a request that promises one byte costs memory.
  STREAM_WEIGHT = 16 * 1024,
};

struct settings {
  struct connection *lanes[2];  // by enum lane
  uint64_t max_body;  // bytes of one body
  uint64_t max_of_strangers;  // bytes held before their key is checked
  uint64_t max_of_key;  // bytes held for one key
  uint64_t max_in_all;  // bytes held for all keys; half of them for one organisation
};

// The phase of a request.
enum phase {
  WAITING,  // for a small body, to be checked in one check
  LOOKING,  // finding out whether the body is complete with what has been received
  HEAD_CHECK,  // sent; reading stops after a little of the body
  READING,  // the body of a request whose head was checked
  WHOLE_CHECK,  // sent
  DECIDED,  // routed or refused
};

// Events of the stream's scheduler.
enum event { LOOK, ANSWERED, QUEUED, CANCELLED, FLUSH };

struct authorise {
  struct filter filter;
  const struct settings *settings;
  enum phase phase;
  bool complete;  // the body is complete
  uint64_t length;  // of the body, if stated
  uint64_t promised, unchecked;  // bytes counted as held for strangers
  struct account *account;  // of the key and its organisation, once they are known
  uint64_t held;  // bytes counted in the account
  envoy_scheduler look;
  struct pending_check *check;  // while the translator decides
  struct connection *connection;  // that carried the last check
  struct request *request;  // once the translator has let it through
  uint64_t number;  // of the whole check
  bool counted;  // the translator expects an end notice
  struct copy copy;  // of the answer, if the translator wants one
  size_t id_size;
  char id[LONGEST_ID];  // the request's id, from the whole check on
  struct span instead;  // the replacement of Envoy's answer, if any
  bool answering;  // an answer is being sent to the client
};

static inline size_t check_buffered(const struct authorise *authorise) {
  return CALLBACK(http_get_body_size)(authorise->filter.envoy, BUFFERED_REQUEST);
}

// Refuses the request, which gets no further.
void check_refuse(struct authorise *authorise, enum refusal refusal);
// Counts `size` bytes in total as held for the key. Returns false if that is too much; then the client has its answer.
bool check_hold(struct authorise *authorise, uint64_t size);
// Gives back the bytes that count as held for strangers.
void check_give_back(struct authorise *authorise);
// Sends the head check, once a piece of the body has not arrived together with the head.
void check_head(struct authorise *authorise);
// The head may pass: reads the rest of the body, which is counted for the key from now on.
void check_admit(struct authorise *authorise, struct span account);
// Sends the end notice: the request is over or its client has left, so its concurrent place is free.
void check_end(struct authorise *authorise);

// The filter's hooks for a request.
enum headers_status check_request_headers(struct filter *filter, bool last);
enum body_status check_request_body(struct filter *filter, bool last);
enum trailers_status check_request_trailers(struct filter *filter);
