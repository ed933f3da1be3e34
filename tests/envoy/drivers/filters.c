// The whole module: its hooks are called as Envoy calls them, and what Envoy does with their results is done.

#include "abi.h"

#include <stdio.h>
#include <stdlib.h>

#include "authorise.h"
#include "driver.h"
#include "fake.h"

const void *HOOK(http_filter_config_new)(envoy_config, struct span name, struct span text);
void HOOK(http_filter_config_destroy)(const void *config);
const void *HOOK(http_filter_new)(const void *config, envoy_filter);
enum headers_status HOOK(http_filter_request_headers)(envoy_filter, const void *filter, bool last);
enum body_status HOOK(http_filter_request_body)(envoy_filter, const void *filter, bool last);
enum trailers_status HOOK(http_filter_request_trailers)(envoy_filter, const void *filter);
enum headers_status HOOK(http_filter_response_headers)(envoy_filter, const void *filter, bool last);
enum body_status HOOK(http_filter_response_body)(envoy_filter, const void *filter, bool last);
enum trailers_status HOOK(http_filter_response_trailers)(envoy_filter, const void *filter);
void HOOK(http_filter_scheduled)(envoy_filter, const void *filter, uint64_t event);
void HOOK(http_filter_stream_complete)(envoy_filter, const void *filter);
void HOOK(http_filter_destroy)(const void *filter);

const void *HOOK(cluster_specifier_config_new)(envoy_config, struct span name, struct span text);
void HOOK(cluster_specifier_config_destroy)(const void *plan);

const void *HOOK(early_header_mutation_config_new)(envoy_config, struct span name, struct span text);
void HOOK(early_header_mutation_config_destroy)(const void *config);
bool HOOK(early_header_mutation_mutate)(const void *config, envoy_mutation);

enum { MOST = 64, AWAIT_MS = 20000 };

static const void *configs[MOST];

static struct {
  struct fake *fake;
  const void *filter;
} filters[MOST];

static void put_body(struct fake *fake, int type, struct buffer *answer) {
  struct buffer body = {0};
  fake_take_body(fake, type, &body);
  put_text(answer, buffer_span(&body));
  buffer_free(&body);
}

static void add_slices(struct fake *fake, int type, struct span *command) {
  fake_add_body(fake, type, NO_SPAN);
  while (has_next(command)) fake_add_body(fake, type, next_text(command));
}

// Status, and the body that goes on.
static void request_body(struct fake *fake, const void *filter, struct span command, struct buffer *answer) {
  bool last = next_number(&command);
  add_slices(fake, RECEIVED_REQUEST, &command);
  enum body_status status = HOOK(http_filter_request_body)(fake, filter, last);
  put_number(answer, (uint64_t)status);
  fake_move_body(fake, RECEIVED_REQUEST, BUFFERED_REQUEST);
  if (status == BODY_CONTINUE) put_body(fake, BUFFERED_REQUEST, answer);
}

static void request_trailers(struct fake *fake, const void *filter, struct buffer *answer) {
  enum trailers_status status = HOOK(http_filter_request_trailers)(fake, filter);
  put_number(answer, (uint64_t)status);
  if (status == TRAILERS_CONTINUE) put_body(fake, BUFFERED_REQUEST, answer);
}

static void response_body(struct fake *fake, const void *filter, struct span command, struct buffer *answer) {
  bool last = next_number(&command);
  add_slices(fake, RECEIVED_RESPONSE, &command);
  put_number(answer, (uint64_t)HOOK(http_filter_response_body)(fake, filter, last));
  put_body(fake, RECEIVED_RESPONSE, answer);
}

// new <slot> <configuration> <slot of the request, or its own>
static void new(size_t slot, struct span command) {
  const void *config = configs[next_number(&command)];
  size_t stream = next_number(&command);
  filters[slot].fake = fake_new(stream == slot ? NULL : filters[stream].fake);
  filters[slot].filter = HOOK(http_filter_new)(config, filters[slot].fake);
}

// <name of a header>… → the names that are left
static void ingress(struct span command, struct buffer *answer) {
  const void *config = HOOK(early_header_mutation_config_new)(NULL, SPAN("ingress"), NO_SPAN);
  struct fake *fake = fake_new(NULL);
  while (has_next(&command)) fake_add_header(fake, REQUEST_HEADERS, next_text(&command), SPAN("value"));
  put_number(answer, config && HOOK(early_header_mutation_mutate)(config, fake));
  fake_put_headers(fake, REQUEST_HEADERS, answer);
  fake_free(fake);
  HOOK(early_header_mutation_config_destroy)(config);
}

static void destroy(size_t slot) {
  HOOK(http_filter_destroy)(filters[slot].filter);
  fake_free(filters[slot].fake);
  filters[slot].fake = NULL;
}

// <what> <slot of a configuration or filter> <more>
void filters_driver(struct span command, struct buffer *answer) {
  struct span what = next_text(&command);
  if (span_is(what, SPAN("ingress"))) {
    ingress(command, answer);
    return;
  }
  size_t slot = next_number(&command);
  struct fake *fake = filters[slot].fake;
  const void *filter = filters[slot].filter;
  if (span_is(what, SPAN("configure"))) {
    struct span name = next_text(&command);
    configs[slot] = HOOK(http_filter_config_new)(NULL, name, next_text(&command));
    put_number(answer, configs[slot] != NULL);
  } else if (span_is(what, SPAN("unconfigure"))) {
    HOOK(http_filter_config_destroy)(configs[slot]);
  } else if (span_is(what, SPAN("new"))) {
    new(slot, command);
  } else if (span_is(what, SPAN("destroy"))) {
    destroy(slot);
  } else if (span_is(what, SPAN("header"))) {
    int type = (int)next_number(&command);
    struct span key = next_text(&command);
    fake_add_header(fake, type, key, next_text(&command));
  } else if (span_is(what, SPAN("headers"))) {
    fake_put_headers(fake, (int)next_number(&command), answer);
  } else if (span_is(what, SPAN("clear"))) {
    fake_clear_headers(fake, (int)next_number(&command));
  } else if (span_is(what, SPAN("metadata"))) {
    fake_set_metadata(fake, has_next(&command) ? next_text(&command) : NO_SPAN);
  } else if (span_is(what, SPAN("state"))) {
    struct span value = fake_state(fake, next_text(&command));
    if (value.data) put_text(answer, value);
  } else if (span_is(what, SPAN("response"))) {
    fake_put_response(fake, answer);
  } else if (span_is(what, SPAN("request_headers"))) {
    put_number(answer, (uint64_t)HOOK(http_filter_request_headers)(fake, filter, next_number(&command)));
  } else if (span_is(what, SPAN("request_body"))) {
    request_body(fake, filter, command, answer);
  } else if (span_is(what, SPAN("request_trailers"))) {
    request_trailers(fake, filter, answer);
  } else if (span_is(what, SPAN("response_headers"))) {
    put_number(answer, (uint64_t)HOOK(http_filter_response_headers)(fake, filter, next_number(&command)));
    put_body(fake, BUFFERED_RESPONSE, answer);
  } else if (span_is(what, SPAN("response_body"))) {
    response_body(fake, filter, command, answer);
  } else if (span_is(what, SPAN("response_trailers"))) {
    put_number(answer, (uint64_t)HOOK(http_filter_response_trailers)(fake, filter));
    put_body(fake, BUFFERED_RESPONSE, answer);
  } else if (span_is(what, SPAN("scheduled"))) {
    // → whether there was an event, whether the request goes on, and the event.
    uint64_t event;
    bool came = fake_await(fake, AWAIT_MS, &event);
    if (came) HOOK(http_filter_scheduled)(fake, filter, event);
    put_number(answer, came);
    put_number(answer, fake_continued(fake));
    put_number(answer, came ? event : 0);
  } else if (span_is(what, SPAN("limit"))) {
    put_number(answer, fake_limit(fake));
  } else if (span_is(what, SPAN("plan"))) {
    configs[slot] = HOOK(cluster_specifier_config_new)(NULL, NO_SPAN, next_text(&command));
    put_number(answer, configs[slot] != NULL);
  } else if (span_is(what, SPAN("unplan"))) {
    HOOK(cluster_specifier_config_destroy)(configs[slot]);
  } else if (span_is(what, SPAN("choose"))) {
    // <slot of the plan> <random> <connected> <clusters> → the cluster
    const void *plan = configs[next_number(&command)];
    uint64_t random = next_number(&command);
    bool connected = next_number(&command);
    put_text(answer, fake_choose(fake, plan, random, connected, next_text(&command)));
  } else if (span_is(what, SPAN("answered"))) {
    put_number(answer, fake_answered(fake));
  } else if (span_is(what, SPAN("complete"))) {
    HOOK(http_filter_stream_complete)(fake, filter);
  } else {
    fprintf(stderr, "no such command: %.*s\n", (int)what.size, what.data);
    exit(2);
  }
  // Each command is a turn of the worker.
  if (filters[slot].fake && fake_take(filters[slot].fake, FLUSH)) {
    HOOK(http_filter_scheduled)(filters[slot].fake, filters[slot].filter, FLUSH);
  }
}
