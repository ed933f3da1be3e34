#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "headers.h"
#include "hosts.h"
#include "table.h"
#include "usage.h"

static const struct span OWN = SPAN("trunkline.request");
static const struct span NONE = SPAN("-");

// The lines of the answer's head that are passed to Envoy at once.
struct lines {
  struct span route, key, log_context;
};

// Parses <offset>:<length>:<rest>.
static bool parse_edit(struct span text, struct edit *edit) {
  struct span offset = span_next(&text, ':'), length = span_next(&text, ':');
  edit->text = text;
  return span_number(offset, &edit->offset) && span_number(length, &edit->length);
}

// Parses the affinity: empty, p<number> for a machine of a pool, t<number> for the target as well, or `=<machine or ->
// <cluster>` for one place only. With `<` instead of `=`, the usage in the answer does not count.
static bool parse_affinity(struct request *request, struct span text) {
  if (text.size == 0) return true;
  if (text.data[0] == '=' || text.data[0] == '<') {
    request->fetches = text.data[0] == '<';
    struct span rest = span_from(text, 1);
    request->machine = span_next(&rest, ' ');
    if (span_is(request->machine, NONE)) request->machine = NO_SPAN;
    request->bound = rest;
    request->outcome.bound = true;
    request->sticky = request->machine.size > 0;
    return rest.size > 0;
  }
  request->sticky = true;
  request->sticks_to_target = text.data[0] == 't';
  return (text.data[0] == 'p' || text.data[0] == 't') && span_number(span_from(text, 1), &request->hash);
}

// Parses the lines that tell Envoy what to do; returns false if they are invalid.
static bool parse(struct request *request, struct span head, struct lines *lines) {
  lines->route = span_next(&head, '\n');
  lines->key = span_next(&head, '\n');
  lines->log_context = span_next(&head, '\n');
  request->path = span_next(&head, '\n');
  struct span usage = span_next(&head, '\n'), model = span_next(&head, '\n');
  struct span affinity = span_next(&head, '\n');
  request->excluded = span_next(&head, '\n');
  request->client_headers = head;
  if (!parse_affinity(request, affinity)) return false;
  if (model.size == 0) return true;  // the translator answers the request itself
  request->wants_usage = !span_is(usage, NONE);
  if (request->wants_usage && !parse_edit(usage, &request->usage)) return false;
  if (!parse_edit(model, &request->model)) return false;
  struct span kind = span_next(&request->model.text, ':');
  request->model_kind = kind.size == 1 ? kind.data[0] : 0;
  return request->model_kind && strchr("jfop", request->model_kind);
}

static void set_affinity(const struct request *request, envoy_filter filter) {
  struct buffer number = {0};
  if (request->machine.size) {
    buffer_add(&number, SPAN("="));
    buffer_add(&number, request->machine);
  } else {
    buffer_add_number(&number, request->hash);
  }
  header_set(filter, REQUEST_HEADERS, AFFINITY_HEADER, buffer_span(&number));
  buffer_free(&number);
}

struct request *request_new(struct span head, envoy_filter filter) {
  struct request *request = allocate(sizeof *request);
  memset(request, 0, sizeof *request);
  request->references = 1;
  buffer_add(&request->answer, head);
  struct lines lines;
  if (!parse(request, buffer_span(&request->answer), &lines)) {
    request_release(request);
    return NULL;
  }
  header_set(filter, REQUEST_HEADERS, SPAN("x-trunkline-route"), lines.route);
  if (lines.key.size) header_set(filter, REQUEST_HEADERS, SPAN("x-trunkline-key"), lines.key);
  if (request->sticky) set_affinity(request, filter);
  request->log_context = lines.log_context;
  if (lines.log_context.size) CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.note"), lines.log_context);
  // The request's address: only this module reads it, in this process.
  CALLBACK(http_set_filter_state_bytes)(filter, OWN, (struct span){(const char *)&request, sizeof request});
  return request;
}

struct request *request_of(envoy_filter filter) {
  struct span address;
  struct request *request;
  if (!CALLBACK(http_get_filter_state_bytes)(filter, OWN, &address) || address.size != sizeof request) return NULL;
  memcpy(&request, address.data, sizeof request);
  request->references++;
  return request;
}

// On this worker: the request whose stream is being routed, and those that were, by their streams.
static _Thread_local struct request *routed;
static _Thread_local struct table by_stream;

void request_routes(struct request *request) { routed = request; }

struct request *request_of_choice(uint64_t random) {
  uint64_t stream = random ? random : 1;  // a table has no number 0
  if (!routed) return table_find(&by_stream, stream);
  if (!routed->stream && !table_find(&by_stream, stream)) {
    routed->stream = stream;
    table_put(&by_stream, stream, routed);
  }
  return routed;
}

static bool is_of(struct span cluster, struct span target) {
  if (!span_begins(cluster, target)) return false;
  struct span rest = span_from(cluster, target.size);
  uint64_t credential;
  return !rest.size || rest.data[0] == '@' || (rest.data[0] == '#' && span_number(span_from(rest, 1), &credential));
}

bool request_fits(const struct request *request, struct span cluster) {
  struct span rest = request->excluded;
  while (rest.size) {
    if (is_of(cluster, span_next(&rest, '\t'))) return false;
  }
  return true;
}

void request_release(struct request *request) {
  if (--request->references) return;
  if (request->stream) table_remove(&by_stream, request->stream);
  buffer_free(&request->answer);
  buffer_free(&request->target);
  buffer_free(&request->place);
  buffer_free(&request->failed);
  facts_free(&request->facts);
  buffer_free(&request->upstream_id);
  choice_free(&request->choice);
  free(request);
}

struct caller request_caller(const struct request *request) {
  enum { ORGANISATION_WORD = 2, KEY_WORD = 3, USER_WORD = 10 };
  struct caller caller = {0};
  struct span words = request->log_context;
  for (int at = 0; at <= USER_WORD; at++) {
    struct span word = span_next(&words, ' ');
    if (at == ORGANISATION_WORD) caller.organisation = host_of_cluster(word);
    if (at == KEY_WORD) caller.key = host_of_cluster(word);
    if (at == USER_WORD) caller.user = host_of_cluster(word);
  }
  return caller;
}

uint64_t request_tokens(const struct request *request) {
  enum { TOKENS_WORD = 6 };
  uint64_t tokens = 0;
  struct span words = request->log_context;
  for (int at = 0; at < TOKENS_WORD; at++) span_next(&words, ' ');
  return span_number(span_next(&words, ' '), &tokens) ? tokens : 0;
}

void request_failed(struct request *request, struct span status) {
  if (request->failed.size) buffer_add(&request->failed, SPAN(" "));
  buffer_add(&request->failed, request->target.size ? buffer_span(&request->target) : NONE);
  buffer_add(&request->failed, SPAN("="));
  buffer_add(&request->failed, status);
  uint64_t now = hosts_now();
  buffer_add(&request->failed, SPAN(":"));
  buffer_add_number(&request->failed, request->since ? now - request->since : 0);
  request->since = now;
  request->failures++;
}

void request_failed_at(struct request *request, uint64_t host) {
  size_t most = sizeof request->failed_hosts / sizeof *request->failed_hosts;
  if (request->failed_host_count < most) request->failed_hosts[request->failed_host_count++] = host;
}

void request_missed(struct request *request, bool connected) {
  if (connected) {
    request_failed_at(request, request->missed);
  } else {
    hosts_unreachable(request->missed, hosts_now());
  }
  request->missed = 0;
}

void request_served_by(struct request *request, uint64_t host) {
  size_t others = 0;
  for (size_t at = 0; at < request->failed_host_count; at++) {
    uint64_t failed = request->failed_hosts[at];
    if (failed != host) request->failed_hosts[others++] = failed;
  }
  if (others) hosts_confirm(request->failed_hosts, others, hosts_now());
  request->failed_host_count = 0;
  if (hosts_are_open()) return;
  uint64_t now = hosts_now();
  struct caller caller = request_caller(request);
  hosts_served(host, caller, request->probes, now);
  if (request->credential) hosts_served(request->credential, caller, request->proves, now);
}

bool request_paused(const struct request *request, uint64_t host, struct pause pause) {
  pause.caller = request_caller(request);
  return hosts_pause(host, &pause, hosts_now());
}

void request_turned_away(struct request *request, bool away) {
  if (request->turned_away == away) return;
  request->turned_away = away;
  struct span words = request->log_context;
  struct buffer frame = {0};
  frame_begin(&frame, away ? FRAME_TURNED_AWAY : FRAME_LET_IN, span_next(&words, ' '), 0);
  connection_send_notice(request->connection, request->number, frame);
}

void request_limited(struct request *request, uint64_t ms) {
  struct buffer seconds = {0};
  buffer_add_number(&seconds, (ms + 999) / 1000);
  request->limited = true;
  request->outcome = (struct outcome){.status = 429};
  memcpy(request->outcome.retry_after, seconds.data, seconds.size);
  buffer_free(&seconds);
}

void request_restore_status(const struct request *request, envoy_filter filter) {
  uint64_t shown;
  if (!request->status || !span_number(header_get(filter, RESPONSE_HEADERS, SPAN(":status")), &shown)) return;
  if (shown != STATUS_FINAL && shown != STATUS_RETRY && shown != STATUS_EJECT) return;
  struct buffer text = {0};
  buffer_add_number(&text, request->status);
  header_set(filter, RESPONSE_HEADERS, SPAN(":status"), buffer_span(&text));
  buffer_free(&text);
}

bool request_makes(const struct request *request) {
  return span_begins(request->path, SPAN("/responses")) && !request->fetches;
}

void request_response_created(struct request *request, struct span id, struct span node) {
  struct buffer text = {0};
  buffer_add(&text, id);
  buffer_add(&text, SPAN("\n"));
  buffer_add(&text, node);
  buffer_add(&text, SPAN("\n"));
  buffer_add(&text, buffer_span(&request->place));
  buffer_add(&text, SPAN("\n"));
  buffer_add(&text, request->log_context);
  request->response_created = true;
  struct buffer frame = {0};
  frame_begin(&frame, FRAME_RESPONSE_CREATED, buffer_span(&text), 0);
  connection_send_notice(request->connection, request->number, frame);
  buffer_free(&text);
}

void request_log(struct request *request, envoy_filter filter) {
  uint64_t tokens;
  // Without a report, for example after the client left, the reservation counts.
  if (request->charge.account && usage_tokens(&request->facts, &tokens)) {
    charge_settle(&request->charge, tokens, hosts_now());
  }
  if (request->upstream_id.size) {
    CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.upstream_id"), buffer_span(&request->upstream_id));
  }
  if (request->cancelled) buffer_add(&request->failed, request->failed.size ? SPAN(" cancelled") : SPAN("cancelled"));
  if (request->failed.size) {
    CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.failed"), buffer_span(&request->failed));
  }
  struct buffer text = {0};
  facts_write(&request->facts, &text);
  if (text.size) CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.usage"), buffer_span(&text));
  if (request->streamed) {
    text.size = 0;
    buffer_add_number(&text, request->events);
    buffer_add(&text, SPAN(":"));
    buffer_add_number(&text, request->event_bytes);
    CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.events"), buffer_span(&text));
  }
  buffer_free(&text);
}
