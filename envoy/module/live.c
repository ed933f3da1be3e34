#include "live.h"

#include <pthread.h>

#include "request.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct live *oldest, *newest;

void live_lock(void) { pthread_mutex_lock(&lock); }

void live_unlock(void) { pthread_mutex_unlock(&lock); }

void live_begin(struct live *live, struct span id, const struct request *request, envoy_scheduler scheduler,
                uint64_t cancel) {
  live->id = id;
  live->request = request;
  live->scheduler = scheduler;
  live->cancel = cancel;
  live_lock();
  live->older = newest;
  live->newer = NULL;
  *(newest ? &newest->newer : &oldest) = live;
  newest = live;
  live_unlock();
}

void live_end(struct live *live) {
  if (!live->scheduler) return;
  live_lock();
  *(live->older ? &live->older->newer : &oldest) = live->newer;
  *(live->newer ? &live->newer->older : &newest) = live->older;
  live_unlock();
  CALLBACK(http_filter_scheduler_delete)(live->scheduler);
  live->scheduler = NULL;
}

static void add_number(struct buffer *into, uint64_t number) {
  buffer_add_number(into, number);
  buffer_add(into, SPAN(" "));
}

static void add_line(struct buffer *into, const struct live *live) {
  const struct request *request = live->request;
  if (!request->log_context.size) return;  // the request reaches no target
  add_number(into, request->attempts);
  add_number(into, atomic_load_explicit(&live->events, memory_order_relaxed));
  add_number(into, atomic_load_explicit(&live->event_bytes, memory_order_relaxed));
  buffer_add(into, request->target.size ? buffer_span(&request->target) : SPAN("-"));
  buffer_add(into, SPAN(" "));
  buffer_add(into, request->log_context);
  buffer_add(into, SPAN("\n"));
}

void live_report(struct buffer *into) {
  live_lock();
  for (const struct live *live = oldest; live; live = live->newer) add_line(into, live);
  live_unlock();
}

bool live_cancel(struct span id, struct buffer *into) {
  bool found = false;
  live_lock();
  for (const struct live *live = oldest; live; live = live->newer) {
    if (!span_is(live->id, id)) continue;
    found = true;
    add_line(into, live);
    CALLBACK(http_filter_scheduler_commit)(live->scheduler, live->cancel);
  }
  live_unlock();
  return found;
}
