#include "held.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 1024 };

struct account {
  struct account *next;   // in the same bucket
  struct account *organisation;  // NULL if this is one
  struct account **from;  // the pointer to this account
  unsigned users;         // under the lock
  struct count count;
  struct buffer name;
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
static struct account **bucket_of(struct span name) {
  uint32_t hash = 2166136261u;
  for (size_t at = 0; at < name.size; at++) hash = (hash ^ (unsigned char)name.data[at]) * 16777619u;
  return &accounts[hash % BUCKETS];
}

// Opens the account with this name, and that of its organisation if it is new. The caller has the lock.
static struct account *open_account(struct span name) {
  struct account **bucket = bucket_of(name);
  struct account *account = *bucket;
  while (account && !span_is(buffer_span(&account->name), name)) account = account->next;
  if (!account) {
    struct span rest = name, organisation = span_next(&rest, '/');
    struct account *whole = organisation.size < name.size ? open_account(organisation) : NULL;
    account = allocate(sizeof *account);
    *account = (struct account){.next = *bucket, .organisation = whole, .from = bucket};
    buffer_add(&account->name, name);
    if (*bucket) (*bucket)->from = &account->next;
    *bucket = account;
  }
  account->users++;
  return account;
}

struct account *account_open(struct span name) {
  pthread_mutex_lock(&lock);
  struct account *account = open_account(name);
  pthread_mutex_unlock(&lock);
  return account;
}

enum account_result account_take(struct account *account, uint64_t bytes, uint64_t max_of_key, uint64_t max_in_all) {
  struct account *organisation = account->organisation;
  if (!count_take(&account->count, bytes, max_of_key)) return ACCOUNT_KEY_FULL;
  if (organisation && !count_take(&organisation->count, bytes, max_in_all / 2)) {
    count_give(&account->count, bytes);
    return ACCOUNT_ORGANISATION_FULL;
  }
  if (count_take(&held_in_all, bytes, max_in_all)) return ACCOUNT_TAKEN;
  count_give(&account->count, bytes);
  if (organisation) count_give(&organisation->count, bytes);
  return ACCOUNT_ALL_FULL;
}

void account_give(struct account *account, uint64_t bytes) {
  count_give(&account->count, bytes);
  if (account->organisation) count_give(&account->organisation->count, bytes);
  count_give(&held_in_all, bytes);
}

// Closes an account, and that of its organisation with the last of its keys. The caller has the lock.
static void close_account(struct account *account) {
  if (--account->users) return;
  *account->from = account->next;
  if (account->next) account->next->from = account->from;
  if (account->organisation) close_account(account->organisation);
  buffer_free(&account->name);
  free(account);
}

void account_close(struct account *account) {
  pthread_mutex_lock(&lock);
  close_account(account);
  pthread_mutex_unlock(&lock);
}
