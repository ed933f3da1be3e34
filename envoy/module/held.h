// Counts the bytes of request bodies that this process holds against bounds. From any thread.
//
// Bodies of strangers, whose API key has not been checked yet, share one count. Every key has a count of its own, and so
// has every organisation, which may hold half of what all may hold together: none takes the others' room.

#pragma once

#include <stdatomic.h>

#include "bytes.h"

// Bytes counted against one bound.
struct count {
  _Atomic uint64_t bytes;
};

// Returns false and takes nothing if the count would exceed `most`.
bool count_take(struct count *count, uint64_t bytes, uint64_t most);
void count_give(struct count *count, uint64_t bytes);

// Small bodies that are awaited without a head check, by the length that their heads promise.
extern struct count held_promised;
// Bytes received while a head check waits for its answer.
extern struct count held_unchecked;

// The count of one key, or of one organisation.
struct account;

enum account_result { ACCOUNT_TAKEN, ACCOUNT_KEY_FULL, ACCOUNT_ORGANISATION_FULL, ACCOUNT_ALL_FULL };

// Returns the account of a key, shared by all its requests. Its name is `organisation/key`, both ids.
struct account *account_open(struct span name);
enum account_result account_take(struct account *account, uint64_t bytes, uint64_t max_of_key, uint64_t max_in_all);
void account_give(struct account *account, uint64_t bytes);
void account_close(struct account *account);
