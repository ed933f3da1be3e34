// What an attempt's failure means: for Envoy, which sends the request on or not, and for the client, who is told in the
// end. No I/O.
//
// Envoy's outlier detection counts every status from 500 on against the host, whatever the reason. So Envoy is shown a
// status of our own below 500 in place of one that failed, and the client gets the true one back.

#pragma once

#include "bytes.h"

enum {
  STATUS_FINAL = 496,  // goes to the client
  STATUS_RETRY = 497,  // goes on to another target (retriable_status_codes in xds_server/resources/routes.py)
  STATUS_EJECT = 503,  // the same, and Envoy ejects the host
};

// The last answer that failed, for the client.
struct outcome {
  unsigned status;  // 0 if there was none
  char retry_after[12];  // seconds, or empty
  bool bound;  // only the place that made a response may be asked
  bool gone;  // which is no target of the route any more
};

// What becomes of an answer, by its head.
enum fate {
  FATE_SERVED,  // an answer
  FATE_CLIENT,  // the request's own fault: goes to the client as it is
  FATE_MISSING,  // likewise, unless it says that the target does not know its model
  FATE_REFUSED,  // the gateway's credential or account is refused there: on to another target
  FATE_LIMITED,  // likewise, and no fault of the host
  FATE_FAILED,  // likewise, and its status is the client's if it is the last word
  FATE_IMPROPER,  // likewise, but nothing of it is for the client: no endpoint answers so
  FATE_UNABLE,  // no target can do this: goes to the client, and counts against nobody
};

// `page`: it is HTML; `empty`: it has no body.
enum fate fate_of(unsigned status, bool page, bool empty);

// What the client is told when nothing is left to try.
struct word {
  unsigned status;
  struct span body;  // JSON, in OpenAI's shape
  const char *retry_after;  // or empty
};

struct word last_word(const struct outcome *outcome);

// What the client is told instead of an answer that says nothing for it.
struct span refused_word(unsigned status);  // the gateway's credential or account
struct span improper_word(void);  // it was no answer
struct span unknown_model_word(void);  // the target does not know its model
struct span page_word(void);  // a failure whose body was a page
