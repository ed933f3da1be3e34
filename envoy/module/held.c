#include "held.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

struct account {
  struct account *next;   // in the same bucket
  struct account **from;  // the pointer to this account
  unsigned users;         // under the lock
  struct count count;
  struct buffer key;
};

struct count held_promised, held_unchecked;

static struct count held_in_all;  // in all accounts
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct account *accounts[BUCKETS];

bool count_take(struct count *count, uint64_t bytes, uint64_t most) {
  uint64_t before = atomic_load_explicit(&count->bytes, memory_order_relaxed);
  do {
    if (bytes > most || before > most - bytes) return false;
  } while (!atomic_compare_exchange_weak_explicit(&count->bytes, &before, before + bytes, memory_order_relaxed,
                                                  memory_order_relaxed));
  return true;
}

void count_give(struct count *count, uint64_t bytes) {
  atomic_fetch_sub_explicit(&count->bytes, bytes, memory_order_relaxed);
}

// FNV-1a.
static struct account **bucket_of(struct span key) {
  uint32_t hash = 2166136261u;
  for (size_t at = 0; at < key.size; at++) hash = (hash ^ (unsigned char)key.data[at]) * 16777619u;
  return &accounts[hash % BUCKETS];
}

struct account *account_open(struct span key) {
  struct account **bucket = bucket_of(key);
  pthread_mutex_lock(&lock);
  struct account *account = *bucket;
  while (account && !span_is(buffer_span(&account->key), key)) account = account->next;
  if (!account) {
    account = allocate(sizeof *account);
    *account = (struct account){.next = *bucket, .from = bucket};
    buffer_add(&account->key, key);
    if (*bucket) (*bucket)->from = &account->next;
    *bucket = account;
  }
  account->users++;
  pthread_mutex_unlock(&lock);
  return account;
}

enum account_result account_take(struct account *account, uint64_t bytes, uint64_t max_of_key, uint64_t max_in_all) {
  if (!count_take(&account->count, bytes, max_of_key)) return ACCOUNT_KEY_FULL;
  if (count_take(&held_in_all, bytes, max_in_all)) return ACCOUNT_TAKEN;
  count_give(&account->count, bytes);
  return ACCOUNT_ALL_FULL;
}

void account_give(struct account *account, uint64_t bytes) {
  count_give(&account->count, bytes);
  count_give(&held_in_all, bytes);
}

void account_close(struct account *account) {
  pthread_mutex_lock(&lock);
  bool last = --account->users == 0;
  if (last) {
    *account->from = account->next;
    if (account->next) account->next->from = account->from;
  }
  pthread_mutex_unlock(&lock);
  if (!last) return;
  buffer_free(&account->key);
  free(account);
}
