// What is wrong with the translator, in Envoy's log: at most one line in ten seconds for each cause.

#pragma once

#include <stdint.h>

#include "bytes.h"

enum complaint {
  TRANSLATOR_AWAY,      // nothing listens at its socket
  TRANSLATOR_REFUSES,   // it closes connections, or does not switch to our protocol
  TRANSLATOR_LOST,      // it closed a connection that was in use
  TRANSLATOR_NONSENSE,  // it sent what is not the protocol
  TRANSLATOR_SILENT,    // it did not answer a check in time
  COMPLAINTS,
};

// When each cause was logged last, and how often it has been left out since. All zeros to begin with; the owner sees
// to it that one thread at a time uses it.
struct complaints {
  struct {
    int64_t next_ms;
    uint64_t left_out;
  } of[COMPLAINTS];
};

// Logs the cause, with what is known of it (may be empty), unless it was logged less than ten seconds before `now_ms`.
void complain(struct complaints *complaints, enum complaint cause, struct span detail, int64_t now_ms);
