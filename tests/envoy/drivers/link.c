#include "link.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complaints.h"
#include "driver.h"
#include "fake.h"

enum { MOST = 32768, LINKS = 16, AWAIT_MS = 20000 };

enum { ANSWERED, QUEUED };

static struct link *links[LINKS];

static struct {
  struct fake *fake;
  struct ticket *ticket;
} checks[MOST];

static struct ticket *ask(struct link *link, struct fake *fake, struct span head, size_t body) {
  struct buffer check = {0};
  frame_begin(&check, FRAME_WHOLE_CHECK, head, body);
  memset(check.data + check.size, 'x', body);
  check.size += body;
  return link_ask(link, CALLBACK(http_filter_scheduler_new)(fake), ANSWERED, QUEUED, check);
}

static const struct span HEAD = SPAN("GET\n/\n\n\n\n\n\n\n\n\n");

struct worker {
  struct link *link;
  unsigned rounds;
  unsigned wrong;
  pthread_t thread;
};

// Asks, and drops one check in three before its answer.
static void *work(void *argument) {
  struct worker *worker = argument;
  for (unsigned round = 0; round < worker->rounds; round++) {
    uint64_t event;
    struct fake *fake = fake_new(NULL);
    struct ticket *ticket = ask(worker->link, fake, HEAD, round % 7 ? 10 : 100000);
    if (round % 3) worker->wrong += !fake_await(fake, AWAIT_MS, &event) || ticket_reply(ticket).status != 200;
    uint64_t number = ticket_number(ticket);
    if (link_drop(ticket)) link_end(worker->link, number, SPAN("id"));
    fake_free(fake);
  }
  return NULL;
}

// From several threads at once, as Envoy's workers do; how many answers were wrong.
static unsigned storm(struct link *link, unsigned threads, unsigned rounds) {
  struct worker *workers = allocate(threads * sizeof *workers);
  unsigned wrong = 0;
  for (unsigned at = 0; at < threads; at++) {
    workers[at] = (struct worker){.link = link, .rounds = rounds};
    pthread_create(&workers[at].thread, NULL, work, &workers[at]);
  }
  for (unsigned at = 0; at < threads; at++) {
    pthread_join(workers[at].thread, NULL);
    wrong += workers[at].wrong;
  }
  free(workers);
  return wrong;
}

struct opener {
  const char *path;
  unsigned rounds;
  pthread_t thread;
};

static void *open_and_close(void *argument) {
  const struct opener *opener = argument;
  for (unsigned round = 0; round < opener->rounds; round++) {
    struct link *link = link_open(opener->path, 1000 + round % 2, round % 3 ? LANE_SHORT : LANE_LONG);
    struct fake *fake = fake_new(NULL);
    link_drop(ask(link, fake, HEAD, 100));
    link_close(link);
    fake_free(fake);
  }
  return NULL;
}

static void openings(const char *path, unsigned threads, unsigned rounds) {
  struct opener *openers = allocate(threads * sizeof *openers);
  for (unsigned at = 0; at < threads; at++) {
    openers[at] = (struct opener){.path = path, .rounds = rounds};
    pthread_create(&openers[at].thread, NULL, open_and_close, &openers[at]);
  }
  for (unsigned at = 0; at < threads; at++) pthread_join(openers[at].thread, NULL);
  free(openers);
}

// open <link> <path> <timeout ms> <lane> → whether it is the same as the one before it | close <link>
// ask <check> <link> <head> <bytes of the body> | await <check> → status, head, body
// queued <check> → whether it is told to wait, on whose account
// drop <check> → whether there was another event, whether it may have been read | end <link> <number> <request id>
// complain <cause> <detail> <milliseconds> | logged → the lines
// storm <link> <threads> <rounds> → wrong answers | openings <path> <threads> <rounds>
void link_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command);
  if (span_is(what, SPAN("openings"))) {
    struct span path = next_text(&command);
    char terminated[LONGEST_PATH] = {0};
    memcpy(terminated, path.data, path.size);
    unsigned threads = (unsigned)next_number(&command);
    openings(terminated, threads, (unsigned)next_number(&command));
    return;
  }
  if (span_is(what, SPAN("logged"))) {
    fake_take_logged(answer);
    return;
  }
  size_t at = next_number(&command);
  uint64_t event;
  if (span_is(what, SPAN("open"))) {
    struct span path = next_text(&command);
    char terminated[LONGEST_PATH] = {0};
    memcpy(terminated, path.data, path.size);
    unsigned timeout_ms = (unsigned)next_number(&command);
    links[at] = link_open(terminated, timeout_ms, next_number(&command) ? LANE_LONG : LANE_SHORT);
    put_number(answer, at > 0 && links[at] == links[at - 1]);
  } else if (span_is(what, SPAN("close"))) {
    link_close(links[at]);
  } else if (span_is(what, SPAN("ask"))) {
    struct link *link = links[next_number(&command)];
    struct span head = next_text(&command);
    checks[at].fake = fake_new(NULL);
    checks[at].ticket = ask(link, checks[at].fake, head, next_number(&command));
  } else if (span_is(what, SPAN("await"))) {
    if (!fake_await(checks[at].fake, AWAIT_MS, &event) || event != ANSWERED) return;
    struct reply reply = ticket_reply(checks[at].ticket);
    put_number(answer, reply.status);
    put_text(answer, reply.head);
    put_text(answer, reply.body);
  } else if (span_is(what, SPAN("queued"))) {
    struct buffer key = {0};
    bool woken = fake_await(checks[at].fake, AWAIT_MS, &event) && event == QUEUED;
    put_number(answer, woken && ticket_queued(checks[at].ticket, &key));
    put_text(answer, buffer_span(&key));
    buffer_free(&key);
  } else if (span_is(what, SPAN("drop"))) {
    bool asked = link_drop(checks[at].ticket);
    checks[at].ticket = NULL;  // so that a leak is seen
    // An event more than the one that was awaited would have been one too many.
    put_number(answer, fake_await(checks[at].fake, 0, &event));
    put_number(answer, asked);
    fake_free(checks[at].fake);
  } else if (span_is(what, SPAN("end"))) {
    uint64_t number = next_number(&command);
    link_end(links[at], number, next_text(&command));
  } else if (span_is(what, SPAN("complain"))) {
    static struct complaints complaints;
    struct span detail = next_text(&command);
    complain(&complaints, (enum complaint)at, detail, (int64_t)next_number(&command));
  } else if (span_is(what, SPAN("storm"))) {
    unsigned threads = (unsigned)next_number(&command);
    put_number(answer, storm(links[at], threads, (unsigned)next_number(&command)));
  } else {
    fprintf(stderr, "no such command\n");
    exit(2);
  }
}
