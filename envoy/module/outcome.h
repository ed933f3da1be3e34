// What an attempt's failure means: for Envoy, which sends the request on or not, and for the client, who gets the final
// answer. No I/O.
//
// Envoy's outlier detection counts every status from 500 on against the host, for any reason. So Envoy is shown a
// status of our own below 500 in place of a failure's, and the client gets the true one.

#pragma once

#include "bytes.h"

enum {
  STATUS_FINAL = 496,  // the answer goes to the client
  STATUS_RETRY = 497,  // the request goes on to another target (retriable_status_codes in
  // xds_server/resources/routes.py)
  STATUS_EJECT = 503,  // the same, and Envoy ejects the host
};

// The last failed answer, for the client.
struct outcome {
  unsigned status;  // 0 if there was none
  char retry_after[12];  // seconds, or empty
  bool bound;  // only the place that created a response may be asked
  bool gone;  // that place is no longer a target of the route
};

// The treatment of an answer, judged by its head.
enum fate {
  FATE_SERVED,  // a valid answer
  FATE_CLIENT,  // the request's own fault: passes to the client unchanged
  FATE_MISSING,  // likewise, unless the body says that the target does not know its model
  FATE_REFUSED,  // the gateway's credential or account is refused: on to another target
  FATE_LIMITED,  // likewise, without fault of the host
  FATE_FAILED,  // likewise; if it is the last answer, the client gets its status
  FATE_IMPROPER,  // likewise, but the client gets nothing of it: no endpoint answers like this
  FATE_UNABLE,  // no target can do this: passes to the client, and counts against no host
};

// `page` says that the answer is HTML, `empty` that it has no body.
enum fate fate_of(unsigned status, bool page, bool empty);

// The answer to the client when nothing is left to try.
struct word {
  unsigned status;
  struct span body;  // JSON, in OpenAI's format
  const char *retry_after;  // or empty
};

struct word last_word(const struct outcome *outcome);

// The answers that replace those of a target that say nothing to the client.
struct span refused_word(unsigned status);  // the gateway's credential or account
struct span improper_word(void);  // it was not a valid answer
struct span unknown_model_word(void);  // the target does not know its model
struct span compressed_word(void);  // a refusal whose body cannot be read
struct span page_word(void);  // a failure whose body was a page, or cannot be read
