// What the translator commands, apart from answering (connection.h).

#pragma once

#include "frames.h"

// Does what the command says, and writes what came of it into an empty frame. The translator commands every connection,
// because it does not know which of them belong to one Envoy: only one, which `tells`, does anything.
void command_obey(struct reply command, bool reports, struct buffer *frame);
