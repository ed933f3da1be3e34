#include "commands.h"

#include "headroom.h"
#include "hosts.h"
#include "live.h"
#include "quota.h"

enum { COMMAND_REPORT = 1, COMMAND_CANCEL = 2, COMMAND_QUOTAS = 3 };

// Reports rests and remaining quotas.
static void report_quotas(struct buffer *into) {
  uint64_t now = hosts_now();
  hosts_report(into, now);
  quotas_report(into, now);
  headroom_report(into, now);
}

void command_obey(struct reply command, bool reports, struct buffer *frame) {
  struct span id = command.head, token = span_next(&id, ' ');
  struct buffer lines = {0};
  if (reports && command.status == COMMAND_REPORT) live_report(&lines);
  if (reports && command.status == COMMAND_CANCEL) live_cancel(id, &lines);
  if (reports && command.status == COMMAND_QUOTAS) report_quotas(&lines);
  frame_begin(frame, FRAME_RUNNING, token, lines.size);
  buffer_add(frame, buffer_span(&lines));
  buffer_free(&lines);
}
