// The tokens that an answer's own report states. No I/O.

#pragma once

#include "facts.h"

// Prompt and completion together. False if no report says.
bool usage_tokens(const struct facts *facts, uint64_t *tokens);
