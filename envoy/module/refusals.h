// Answers to clients whose requests are refused.

#pragma once

#include "abi.h"
#include "frames.h"
#include "outcome.h"

enum refusal {
  REFUSAL_UNAVAILABLE,         // the translator did not answer
  REFUSAL_TOO_LARGE,           // worded in Envoy's configuration, as for a body that Envoy refuses itself
  REFUSAL_KEY_HOLDS_TOO_MUCH,  // the bound of one API key is reached
  REFUSAL_ORGANISATION_HOLDS_TOO_MUCH,  // the bound of one organisation is reached
  REFUSAL_ALL_HOLD_TOO_MUCH,   // the bound of all keys, or of strangers, is reached
  REFUSAL_CANCELLED,           // an operator ended the request
};

void refusal_send(envoy_filter filter, enum refusal refusal);
// Tells the client that an operator has ended its request. If the request is already `answered`, its stream is cut.
void refusal_cancel(envoy_filter filter, bool answered);
// Sends the translator's refusal to the client.
void refusal_pass_on(envoy_filter filter, struct reply reply);
// Sends a cached answer of the translator to the client.
void cached_pass_on(envoy_filter filter, struct reply reply);
// Rewrites the headers of an answer for `word`, whose body will replace the answer's.
void refusal_replace_headers(envoy_filter filter, const struct word *word);
