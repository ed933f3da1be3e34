// Answers to clients whose requests go no further.

#pragma once

#include "abi.h"
#include "frames.h"
#include "outcome.h"

enum refusal {
  REFUSAL_UNAVAILABLE,         // the translator did not answer
  REFUSAL_TOO_LARGE,           // Envoy's configuration words it, as for a body that Envoy refuses itself
  REFUSAL_KEY_HOLDS_TOO_MUCH,  // the bound of one API key
  REFUSAL_ALL_HOLD_TOO_MUCH,   // the bound of all keys, or of strangers
  REFUSAL_CANCELLED,           // an operator ended the request
};

void refusal_send(envoy_filter filter, enum refusal refusal);
// Tells the client that an operator has ended its request; one that is being `answered` sees its stream break off.
void refusal_cancel(envoy_filter filter, bool answered);
// Gives the client the translator's refusal.
void refusal_pass_on(envoy_filter filter, struct reply reply);
// Gives the client an answer that the translator had kept.
void kept_pass_on(envoy_filter filter, struct reply reply);
// Has the headers of an answer say `word`, whose body is to take the place of the answer's own.
void refusal_replace_headers(envoy_filter filter, const struct word *word);
