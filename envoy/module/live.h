// The running requests, for operators: what each is doing, and how to end one. One list for all workers. A request
// joins when it is let through and leaves with its stream.

#pragma once

#include <stdatomic.h>

#include "abi.h"
#include "bytes.h"

struct request;

struct live {
  struct live *older, *newer;
  envoy_scheduler scheduler;  // of the stream; NULL while the request is in no list
  uint64_t cancel;            // the event that ends it
  struct span id;
  const struct request *request;
  // A stream's events so far, and their bytes.
  _Atomic uint64_t events, event_bytes;
};

// Takes over the scheduler. `id` and `request` live as long as the request is in the list.
void live_begin(struct live *live, struct span id, const struct request *request, envoy_scheduler scheduler,
                uint64_t cancel);
// Does nothing for a request that never began.
void live_end(struct live *live);
// The fields that the report reads may only change between these two.
void live_lock(void);
void live_unlock(void);
// Called on the stream's worker.
static inline void live_count(struct live *live, uint64_t events, uint64_t bytes) {
  atomic_store_explicit(&live->events, events, memory_order_relaxed);
  atomic_store_explicit(&live->event_bytes, bytes, memory_order_relaxed);
}

// Adds a line `<attempts> <events> <bytes of them> <target or -> <log context>` for each request that the ledger will
// record, oldest first. From any thread.
void live_report(struct buffer *into);
// Ends the request with this id and adds its line. Returns false if there is none. From any thread.
bool live_cancel(struct span id, struct buffer *into);
