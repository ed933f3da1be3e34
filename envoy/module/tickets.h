// What a link's connection is to carry, in the order in which it was asked.

#pragma once

#include <stdlib.h>

#include "link.h"

struct ticket {
  struct link *link;
  struct ticket *older, *newer;
  uint64_t number;
  unsigned asked;          // on so many connections
  int64_t deadline;        // monotonic milliseconds
  envoy_scheduler scheduler;  // NULL once nobody waits for the answer
  uint64_t event;             // for the scheduler: there is an answer
  uint64_t queued_event;      // and: the request waits for a place
  bool queued;                // it does
  bool notice;                // has no answer, and no number of its own
  struct buffer frame;
  struct buffer answer;    // the frame behind its length
  struct buffer key;       // on whose account a queued request waits
  bool answered;
};

struct list {
  struct ticket *oldest, *newest;
};

static inline void ticket_free(struct ticket *ticket) {
  buffer_free(&ticket->frame);
  buffer_free(&ticket->answer);
  buffer_free(&ticket->key);
  free(ticket);
}

static inline void list_remove(struct list *list, struct ticket *ticket) {
  *(ticket->older ? &ticket->older->newer : &list->oldest) = ticket->newer;
  *(ticket->newer ? &ticket->newer->older : &list->newest) = ticket->older;
}

static inline void list_append(struct list *list, struct ticket *ticket) {
  ticket->older = list->newest;
  ticket->newer = NULL;
  *(list->newest ? &list->newest->newer : &list->oldest) = ticket;
  list->newest = ticket;
}
