// Has a target, or the credential that it was asked with, rest because it said so.

#pragma once

#include "attempt.h"

// By what it said with the answer that is judged as `fate`. Returns whether it rests now.
bool pause_after(struct attempt *attempt, enum fate fate);
// By an answer of any status that says how much is left of the account's quota: it rests before it refuses a request.
void pause_ahead(const struct attempt *attempt);
