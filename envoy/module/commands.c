#include "commands.h"

#include "live.h"

enum { COMMAND_REPORT = 1, COMMAND_CANCEL = 2 };

void command_obey(struct reply command, bool tells, struct buffer *frame) {
  struct span id = command.head, token = span_next(&id, ' ');
  struct buffer lines = {0};
  if (tells && command.status == COMMAND_REPORT) live_report(&lines);
  if (tells && command.status == COMMAND_CANCEL) live_cancel(id, &lines);
  frame_begin(frame, FRAME_RUNNING, token, lines.size);
  buffer_add(frame, buffer_span(&lines));
  buffer_free(&lines);
}
