#include "commands.h"

#include "headroom.h"
#include "hosts.h"
#include "live.h"
#include "quota.h"
#include "sharing.h"

enum { COMMAND_REPORT = 1, COMMAND_CANCEL = 2, COMMAND_QUOTAS = 3, COMMAND_SHARE = 4 };

// Reports rests and remaining quotas.
static void report_quotas(struct buffer *into, uint64_t now) {
  hosts_report(into, now);
  quotas_report(into, now);
  headroom_report(into, now);
  sharing_report(into, now);
}

void command_obey(struct reply command, bool reports, struct buffer *frame) {
  struct span id = command.head, token = span_next(&id, ' ');
  struct buffer lines = {0};
  if (reports && command.status == COMMAND_REPORT) live_report(&lines);
  if (reports && command.status == COMMAND_CANCEL) live_cancel(id, &lines);
  if (reports && command.status == COMMAND_SHARE) sharing_take(command.body, hosts_now());
  bool quotas = command.status == COMMAND_QUOTAS || command.status == COMMAND_SHARE;
  if (reports && quotas) report_quotas(&lines, hosts_now());
  frame_begin(frame, FRAME_RUNNING, token, lines.size);
  buffer_add(frame, buffer_span(&lines));
  buffer_free(&lines);
}
