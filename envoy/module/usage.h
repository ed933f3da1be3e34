// The tokens that an answer's own report states. No I/O.

#pragma once

#include "facts.h"

// Returns prompt and completion together, or false if no report states them.
bool usage_tokens(const struct facts *facts, uint64_t *tokens);
