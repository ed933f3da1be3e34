#include "held.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"

enum { KEYS = 3, OF_KEY = 100, IN_ALL = 200 };

struct worker {
  unsigned seed, rounds, taken, over;
  pthread_t thread;
};

static _Atomic uint64_t held[KEYS], in_all;

// Holds and gives back, for one key after the other, and counts itself what it was given.
static void *work(void *argument) {
  static const struct span NAMES[KEYS] = {SPAN("org/a"), SPAN("b"), SPAN("org/c")};
  struct worker *worker = argument;
  for (unsigned round = 0; round < worker->rounds; round++) {
    unsigned key = (round + worker->seed) % KEYS, bytes = round % 60;
    struct account *account = account_open(NAMES[key]);
    if (account_take(account, bytes, OF_KEY, IN_ALL) == ACCOUNT_TAKEN) {
      worker->taken++;
      if (atomic_fetch_add(&held[key], bytes) + bytes > OF_KEY) worker->over++;
      if (atomic_fetch_add(&in_all, bytes) + bytes > IN_ALL) worker->over++;
      atomic_fetch_sub(&in_all, bytes);
      atomic_fetch_sub(&held[key], bytes);
      account_give(account, bytes);
    }
    account_close(account);
  }
  return NULL;
}

static void storm(unsigned threads, unsigned rounds, struct buffer *answer) {
  struct worker *workers = allocate(threads * sizeof *workers);
  unsigned taken = 0, over = 0;
  for (unsigned at = 0; at < threads; at++) {
    workers[at] = (struct worker){.seed = at, .rounds = rounds};
    pthread_create(&workers[at].thread, NULL, work, &workers[at]);
  }
  for (unsigned at = 0; at < threads; at++) {
    pthread_join(workers[at].thread, NULL);
    taken += workers[at].taken;
    over += workers[at].over;
  }
  free(workers);
  put_number(answer, taken);
  put_number(answer, over);
}

static struct account *accounts[64];

// open <slot> <key> | take <slot> <bytes> <most of the key> <most in all> → 0, or which bound | give <slot> <bytes>
// close <slot> | storm <threads> <rounds> → how often bytes were taken, and how often a bound was passed
void held_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command);
  size_t at = next_number(&command);
  if (span_is(what, SPAN("open"))) {
    struct span key = exact_copy(next_text(&command));
    accounts[at] = account_open(key);
    free((char *)key.data);
  } else if (span_is(what, SPAN("take"))) {
    uint64_t bytes = next_number(&command), of_key = next_number(&command);
    put_number(answer, account_take(accounts[at], bytes, of_key, next_number(&command)));
  } else if (span_is(what, SPAN("give"))) {
    account_give(accounts[at], next_number(&command));
  } else if (span_is(what, SPAN("close"))) {
    account_close(accounts[at]);
    accounts[at] = NULL;  // so that a leak is seen
  } else if (span_is(what, SPAN("storm"))) {
    storm((unsigned)at, (unsigned)next_number(&command), answer);
  } else {
    fprintf(stderr, "no such command\n");
    exit(2);
  }
}
