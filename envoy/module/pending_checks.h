// The frames of a connection, in the order in which they were sent.

#pragma once

#include <stdlib.h>

#include "connection.h"

struct pending_check {
  struct connection *connection;
  struct pending_check *older, *newer;
  uint64_t number;
  unsigned asked;          // the number of connections on which it was sent
  int64_t deadline;        // monotonic milliseconds
  envoy_scheduler scheduler;  // NULL once the stream no longer waits for the answer
  struct check_events events;
  bool queued;                // the request waits for a place
  bool flushes;               // its stream has the event that writes the checks of this turn
  bool notice;                // a notice has no answer and no number of its own
  struct buffer frame;
  struct buffer answer;    // the frame without its length
  struct buffer account;   // on which the body of a queued request is held
  bool answered;
};

struct list {
  struct pending_check *oldest, *newest;
};

static inline void pending_check_free(struct pending_check *check) {
  buffer_free(&check->frame);
  buffer_free(&check->answer);
  buffer_free(&check->account);
  free(check);
}

static inline void list_remove(struct list *list, struct pending_check *check) {
  *(check->older ? &check->older->newer : &list->oldest) = check->newer;
  *(check->newer ? &check->newer->older : &list->newest) = check->older;
}

static inline void list_append(struct list *list, struct pending_check *check) {
  check->older = list->newest;
  check->newer = NULL;
  *(list->newest ? &list->newest->newer : &list->oldest) = check;
  list->newest = check;
}
