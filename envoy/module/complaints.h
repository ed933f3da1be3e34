// Logs what is wrong with the translator in Envoy's log: at most one line in ten seconds for each cause.

#pragma once

#include <stdint.h>

#include "bytes.h"

enum complaint {
  TRANSLATOR_AWAY,      // nothing listens at its socket
  TRANSLATOR_REFUSES,   // it closes connections, or does not switch to our protocol
  TRANSLATOR_LOST,      // it closed a connection that was in use
  TRANSLATOR_NONSENSE,  // it violated the protocol
  TRANSLATOR_SILENT,    // it did not answer a check in time
  COMPLAINTS,
};

// When each cause may be logged next, and how many lines were left out since the last. Zeroed initially; the owner
// ensures that one thread at a time uses it.
struct complaints {
  struct {
    int64_t next_ms;
    uint64_t left_out;
  } of[COMPLAINTS];
};

// Logs the cause with its detail (may be empty), unless it was logged less than ten seconds before `now_ms`.
void complain(struct complaints *complaints, enum complaint cause, struct span detail, int64_t now_ms);
