// The requests that run now, for an operator who asks: what each is doing, and how to end one. One list for all
// workers; a request joins when it is let through, and leaves with its stream.

#pragma once

#include <stdatomic.h>

#include "abi.h"
#include "bytes.h"

struct request;

struct live {
  struct live *older, *newer;
  envoy_scheduler scheduler;  // of the stream; NULL while it is in no list
  uint64_t cancel;            // the event that ends it
  struct span id;
  const struct request *request;
  // Of a stream: its events so far, and their bytes.
  _Atomic uint64_t events, event_bytes;
};

// Takes over the scheduler. `id` and `request` live as long as the request is in the list.
void live_begin(struct live *live, struct span id, const struct request *request, envoy_scheduler scheduler,
                uint64_t cancel);
// Does nothing for one that never began.
void live_end(struct live *live);
// What the report reads of a request is changed between these two.
void live_lock(void);
void live_unlock(void);
// On the stream's worker.
static inline void live_count(struct live *live, uint64_t events, uint64_t bytes) {
  atomic_store_explicit(&live->events, events, memory_order_relaxed);
  atomic_store_explicit(&live->event_bytes, bytes, memory_order_relaxed);
}

// A line `<attempts> <events> <bytes of them> <target or -> <log context>` for each request that the ledger will
// have, oldest first. From any thread.
void live_report(struct buffer *into);
// Ends the request with this id, and adds its line. False if none has it. From any thread.
bool live_cancel(struct span id, struct buffer *into);
