// The translator's commands (connection.h).

#pragma once

#include "frames.h"

// Obeys the command and writes its result into an empty frame. The translator commands every connection, because it
// does not know which of them belong to one Envoy. Only the connection that `reports` obeys.
void command_obey(struct reply command, bool reports, struct buffer *frame);
