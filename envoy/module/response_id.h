// The id of a response, in the first bytes of the answer that makes it. No I/O.

#pragma once

#include "bytes.h"

// The value of the first member `id` that looks like one: letters, digits, `_` and `-`, not of a part of the response.
// Nothing while there is none.
struct span response_id(struct span text);
