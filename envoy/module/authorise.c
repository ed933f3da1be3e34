#include <stdlib.h>
#include <string.h>

#include "filters.h"
#include "headers.h"
#include "link.h"
#include "request.h"

enum {
  LONGEST_TIMEOUT_MS = 3600000,
  MOST_BODY = 1 << 30,  // a question's length has 32 bits
};

struct settings {
  struct link *link;
  uint64_t max_body;  // bytes
};

struct authorise {
  struct filter filter;
  const struct settings *settings;
  struct ticket *ticket;    // while the translator is asked
  struct request *request;  // once it has let the request through
};

// What the translator decides by, in the order of the question's lines; method and path come first.
static const struct span ASKED[] = {
    SPAN(":method"),          SPAN(":path"),        SPAN("authorization"),
    SPAN("x-api-key"),        SPAN("api-key"),      SPAN("content-type"),
    SPAN("content-encoding"), SPAN("x-request-id"), SPAN("x-trunkline-tag"),
};

// All values of a header, as one list (RFC 9110 section 5.2).
static void add_values(envoy_filter envoy, struct span name, struct buffer *into) {
  struct span value = NO_SPAN;
  size_t count = 0;
  if (!CALLBACK(http_get_header)(envoy, REQUEST_HEADERS, name, &value, 0, &count)) return;
  buffer_add(into, value);
  for (size_t at = 1; at < count; at++) {
    CALLBACK(http_get_header)(envoy, REQUEST_HEADERS, name, &value, at, NULL);
    buffer_add(into, SPAN(", "));
    buffer_add(into, value);
  }
}

static void ask(struct authorise *authorise, bool with_received) {
  envoy_filter envoy = authorise->filter.envoy;
  struct buffer head = {0}, question = {0};
  for (size_t at = 0; at < sizeof ASKED / sizeof *ASKED; at++) {
    if (at) buffer_add(&head, SPAN("\n"));
    add_values(envoy, ASKED[at], &head);
  }
  frame_begin(&question, buffer_span(&head));
  buffer_free(&head);
  body_copy(envoy, BUFFERED_REQUEST, &question);
  if (with_received) body_copy(envoy, RECEIVED_REQUEST, &question);
  authorise->ticket = link_ask(authorise->settings->link, CALLBACK(http_filter_scheduler_new)(envoy), question);
}

static void *configure(struct span text) {
  const char *path = getenv("TRUNKLINE_TRANSLATOR_SOCKET");
  uint64_t timeout_ms, max_body;
  struct span first = span_next(&text, ' ');
  if (!span_number(first, &timeout_ms) || !span_number(text, &max_body) || timeout_ms < 1 ||
      timeout_ms > LONGEST_TIMEOUT_MS || max_body > MOST_BODY) {
    CALLBACK(log)(LOG_ERROR, SPAN("trunkline authorise: the configuration is not `<timeout in ms> <bytes of body>`"));
    return NULL;
  }
  if (!path || !*path || strlen(path) >= LONGEST_PATH) {
    CALLBACK(log)(LOG_ERROR, SPAN("trunkline authorise: TRUNKLINE_TRANSLATOR_SOCKET names no usable socket"));
    return NULL;
  }
  struct link *link = link_open(path, (unsigned)timeout_ms);
  if (!link) return NULL;
  struct settings *settings = allocate(sizeof *settings);
  *settings = (struct settings){link, max_body};
  return settings;
}

static void unconfigure(void *config) {
  struct settings *settings = config;
  link_close(settings->link);
  free(settings);
}

static struct filter *new(void *config, envoy_filter envoy) {
  (void)envoy;
  struct authorise *authorise = allocate(sizeof *authorise);
  *authorise = (struct authorise){.settings = config};
  return &authorise->filter;
}

static enum headers_status request_headers(struct filter *filter, bool last) {
  struct authorise *authorise = (struct authorise *)filter;
  CALLBACK(http_set_buffer_limit)(filter->envoy, authorise->settings->max_body);
  if (last) ask(authorise, false);
  return HEADERS_STOP;
}

static enum body_status request_body(struct filter *filter, bool last) {
  struct authorise *authorise = (struct authorise *)filter;
  size_t size = CALLBACK(http_get_body_size)(filter->envoy, BUFFERED_REQUEST) +
                CALLBACK(http_get_body_size)(filter->envoy, RECEIVED_REQUEST);
  // Envoy refuses a body that is too long when it buffers its last part, which is after this.
  if (last && !authorise->ticket && size <= authorise->settings->max_body) ask(authorise, true);
  return BODY_STOP_AND_BUFFER;
}

static enum trailers_status request_trailers(struct filter *filter) {
  struct authorise *authorise = (struct authorise *)filter;
  if (!authorise->ticket) ask(authorise, false);
  return TRAILERS_STOP;
}

// Splits lines of `name: value` in at most `most`; how many there are.
static size_t split_lines(struct span lines, struct header *headers, size_t most) {
  size_t count = 0;
  while (lines.size && count < most) {
    struct span value = span_next(&lines, '\n'), name = span_next(&value, ':');
    if (value.size && value.data[0] == ' ') value = span_from(value, 1);
    if (name.size) headers[count++] = (struct header){name, value};
  }
  return count;
}

static void refuse(envoy_filter envoy, struct reply reply) {
  struct header headers[32];
  size_t count = split_lines(reply.head, headers, sizeof headers / sizeof *headers);
  CALLBACK(http_send_response)(envoy, reply.status, headers, count, reply.body, SPAN("trunkline_refused"));
}

static void unavailable(envoy_filter envoy) {
  struct header headers[] = {{SPAN("content-type"), SPAN("application/json")}, {SPAN("retry-after"), SPAN("1")}};
  CALLBACK(http_send_response)
  (envoy, 503, headers, 2,
   SPAN("{\"error\":{\"message\":\"The gateway's policy service did not answer. Send the request again.\","
        "\"type\":\"server_error\",\"param\":null,\"code\":\"policy_unavailable\"}}"),
   SPAN("trunkline_policy_unavailable"));
}

static void scheduled(struct filter *filter, uint64_t event) {
  (void)event;
  struct authorise *authorise = (struct authorise *)filter;
  struct ticket *ticket = authorise->ticket;
  if (!ticket) return;
  struct reply reply = ticket_reply(ticket);
  authorise->ticket = NULL;
  if (reply.status == 200) authorise->request = request_new(reply.head, filter->envoy);
  if (authorise->request) {
    CALLBACK(http_clear_route_cache)(filter->envoy);
    CALLBACK(http_filter_continue_decoding)(filter->envoy);
  } else if (reply.status > 200 && reply.status < 600) {
    refuse(filter->envoy, reply);
  } else {
    unavailable(filter->envoy);
  }
  // The stream may be gone by now, and the filter with it.
  link_drop(ticket);
}

static enum headers_status response_headers(struct filter *filter, bool last) {
  (void)last;
  const struct authorise *authorise = (struct authorise *)filter;
  if (!authorise->request) return HEADERS_CONTINUE;
  struct header headers[32];
  size_t count = split_lines(authorise->request->client_headers, headers, sizeof headers / sizeof *headers);
  for (size_t at = 0; at < count; at++) {
    header_set(filter->envoy, RESPONSE_HEADERS, headers[at].key, headers[at].value);
  }
  return HEADERS_CONTINUE;
}

static void complete(struct filter *filter) {
  const struct authorise *authorise = (struct authorise *)filter;
  if (authorise->request) request_log(authorise->request, filter->envoy);
}

static void destroy(struct filter *filter) {
  struct authorise *authorise = (struct authorise *)filter;
  if (authorise->ticket) link_drop(authorise->ticket);
  if (authorise->request) request_release(authorise->request);
  free(authorise);
}

const struct filter_kind authorise_filter = {
    .configure = configure,
    .unconfigure = unconfigure,
    .new = new,
    .request_headers = request_headers,
    .request_body = request_body,
    .request_trailers = request_trailers,
    .response_headers = response_headers,
    .scheduled = scheduled,
    .complete = complete,
    .destroy = destroy,
};
