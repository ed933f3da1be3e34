#include "connection.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complaints.h"
#include "driver.h"
#include "fake.h"

enum { MOST = 32768, CONNECTIONS = 16, AWAIT_MS = 20000 };

enum { ANSWERED, QUEUED, FLUSH };

static const struct check_events EVENTS = {ANSWERED, QUEUED, FLUSH};

static bool holding;  // the turn goes on after a command

static struct connection *connections[CONNECTIONS];

static struct {
  struct fake *fake;
  struct pending_check *check;
} checks[MOST];

static struct pending_check *ask(struct connection *connection, struct fake *fake, struct span head, size_t body) {
  struct buffer check = {0};
  frame_begin(&check, FRAME_WHOLE_CHECK, head, body);
  memset(check.data + check.size, 'x', body);
  check.size += body;
  envoy_scheduler scheduler = CALLBACK(http_filter_scheduler_new)(fake);
  struct pending_check *sent = connection_send_check(connection, scheduler, EVENTS, check);
  if (!holding && fake_take(fake, FLUSH)) connection_flush();
  return sent;
}

static const struct span HEAD = SPAN("GET\n/\n\n\n\n\n\n\n\n\n\n\n");

struct worker {
  struct connection *connection;
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
    struct pending_check *check = ask(worker->connection, fake, HEAD, round % 7 ? 10 : 100000);
    if (round % 3) worker->wrong += !fake_await(fake, AWAIT_MS, &event) || pending_check_reply(check).status != 200;
    uint64_t number = pending_check_number(check);
    if (pending_check_drop(check)) connection_end(worker->connection, number, SPAN("id"));
    fake_free(fake);
  }
  return NULL;
}

// From several threads at once, as Envoy's workers do; how many answers were wrong.
static unsigned storm(struct connection *connection, unsigned threads, unsigned rounds) {
  struct worker *workers = allocate(threads * sizeof *workers);
  unsigned wrong = 0;
  for (unsigned at = 0; at < threads; at++) {
    workers[at] = (struct worker){.connection = connection, .rounds = rounds};
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
    struct connection *connection = connection_open(opener->path, 1000 + round % 2, round % 3 ? LANE_SHORT : LANE_LONG);
    struct fake *fake = fake_new(NULL);
    pending_check_drop(ask(connection, fake, HEAD, 100));
    connection_close(connection);
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

// open <connection> <path> <timeout ms> <lane> → whether it is the same as the one before it | close <connection>
// ask <check> <connection> <head> <bytes of the body> | await <check> → status, head, body
// queued <check> → whether it has to wait, on whose account
// drop <check> → whether there was another event, whether it may have been read | end <connection> <number> <request id>
// hold <whether the turn goes on after asking> | flush <check> → whether it had the event that ends the turn
// complain <cause> <detail> <milliseconds> | logged → the lines
// storm <connection> <threads> <rounds> → wrong answers | openings <path> <threads> <rounds>
void connection_driver(struct span command, struct buffer *answer) {
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
    connections[at] = connection_open(terminated, timeout_ms, next_number(&command) ? LANE_LONG : LANE_SHORT);
    put_number(answer, at > 0 && connections[at] == connections[at - 1]);
  } else if (span_is(what, SPAN("close"))) {
    connection_close(connections[at]);
  } else if (span_is(what, SPAN("ask"))) {
    struct connection *connection = connections[next_number(&command)];
    struct span head = next_text(&command);
    checks[at].fake = fake_new(NULL);
    checks[at].check = ask(connection, checks[at].fake, head, next_number(&command));
  } else if (span_is(what, SPAN("await"))) {
    fake_take(checks[at].fake, FLUSH);
    if (!fake_await(checks[at].fake, AWAIT_MS, &event) || event != ANSWERED) return;
    struct reply reply = pending_check_reply(checks[at].check);
    put_number(answer, reply.status);
    put_text(answer, reply.head);
    put_text(answer, reply.body);
  } else if (span_is(what, SPAN("queued"))) {
    struct buffer key = {0};
    bool woken = fake_await(checks[at].fake, AWAIT_MS, &event) && event == QUEUED;
    put_number(answer, woken && pending_check_queued(checks[at].check, &key));
    put_text(answer, buffer_span(&key));
    buffer_free(&key);
  } else if (span_is(what, SPAN("drop"))) {
    bool asked = pending_check_drop(checks[at].check);
    checks[at].check = NULL;  // so that a leak is seen
    fake_take(checks[at].fake, FLUSH);
    // An event more than the one that was awaited would have been one too many.
    put_number(answer, fake_await(checks[at].fake, 0, &event));
    put_number(answer, asked);
    fake_free(checks[at].fake);
  } else if (span_is(what, SPAN("end"))) {
    uint64_t number = next_number(&command);
    connection_end(connections[at], number, next_text(&command));
  } else if (span_is(what, SPAN("hold"))) {
    holding = at;
  } else if (span_is(what, SPAN("flush"))) {
    bool came = fake_take(checks[at].fake, FLUSH);
    if (came) connection_flush();
    put_number(answer, came);
  } else if (span_is(what, SPAN("complain"))) {
    static struct complaints complaints;
    struct span detail = next_text(&command);
    complain(&complaints, (enum complaint)at, detail, (int64_t)next_number(&command));
  } else if (span_is(what, SPAN("storm"))) {
    unsigned threads = (unsigned)next_number(&command);
    put_number(answer, storm(connections[at], threads, (unsigned)next_number(&command)));
  } else {
    fprintf(stderr, "no such command\n");
    exit(2);
  }
}
