// Lets a target, or the credential that was used, rest because the target said so.

#pragma once

#include "attempt.h"

// Pauses according to the answer that is judged as `fate`. Returns whether the target or credential rests now.
bool pause_after(struct attempt *attempt, enum fate fate);
// Pauses according to an answer of any status that reports how much of the account's quota is left, so that the target
// rests before it refuses a request.
void pause_ahead(const struct attempt *attempt);
