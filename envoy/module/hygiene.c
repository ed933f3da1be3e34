#include "hygiene.h"

#include <stdlib.h>

#include "headers.h"
#include "redact.h"

enum { LONGEST_ID = 128, LONGEST_RETRY_AFTER = 8 };

// Beside `:status`. Envoy adds date, server and the gateway's own.
static const struct span KEPT[] = {
    SPAN(":status"),          SPAN("content-type"),         SPAN("content-length"),
    SPAN("content-encoding"), SPAN("cache-control"),        SPAN("content-disposition"),
    SPAN("retry-after"),      SPAN("openai-processing-ms"), SPAN("openai-version"),
};
// The target's own id of the request, as the well-known providers call it; the first one counts.
static const struct span IDS[] = {SPAN("x-request-id"),     SPAN("request-id"),      SPAN("x-amzn-requestid"),
                                  SPAN("apim-request-id"),  SPAN("x-ms-request-id"), SPAN("x-goog-request-id"),
                                  SPAN("x-amz-request-id"), SPAN("cf-ray")};

static bool is_one_of(struct span name, const struct span *names, size_t count) {
  for (size_t at = 0; at < count; at++) {
    if (span_is(name, names[at])) return true;
  }
  return false;
}

// Headers and the names of some of them, copied: a change makes what Envoy gave out invalid.
static void collect(envoy_filter envoy, int type, bool all, struct buffer *names) {
  size_t count = CALLBACK(http_get_headers_size)(envoy, type);
  struct header few[64], *headers = count <= 64 ? few : allocate(count * sizeof *headers);
  if (CALLBACK(http_get_headers)(envoy, type, headers)) {
    for (size_t at = 0; at < count; at++) {
      if (!all && is_one_of(headers[at].key, KEPT, sizeof KEPT / sizeof *KEPT)) continue;
      buffer_add(names, headers[at].key);
      buffer_add(names, SPAN("\n"));
    }
  }
  if (headers != few) free(headers);
}

static void remove_all(envoy_filter envoy, int type, bool all) {
  struct buffer names = {0};
  collect(envoy, type, all, &names);
  for (struct span rest = buffer_span(&names); rest.size;) header_remove(envoy, type, span_next(&rest, '\n'));
  buffer_free(&names);
}

static void find_id(envoy_filter envoy, struct buffer *id) {
  for (size_t at = 0; at < sizeof IDS / sizeof *IDS && !id->size; at++) {
    struct span value = header_get(envoy, RESPONSE_HEADERS, IDS[at]);
    for (size_t place = 0; place < value.size && id->size < LONGEST_ID; place++) {
      if (value.data[place] > ' ' && value.data[place] < 0x7F) buffer_add(id, span_between(value, place, place + 1));
    }
  }
}

// Replaces the value of a header by one without the secret in it.
static void take_out(envoy_filter envoy, struct span name, struct span secret) {
  struct span value = header_get(envoy, RESPONSE_HEADERS, name);
  struct redactor redactor = {.secret = secret};
  struct buffer clean = {0};
  if (value.size && redact(&redactor, value, true, &clean)) {
    header_set(envoy, RESPONSE_HEADERS, name, buffer_span(&clean));
  }
  buffer_free(&clean);
  redactor_free(&redactor);
}

void clean_headers(envoy_filter envoy, struct span secret, struct buffer *id) {
  id->size = 0;
  find_id(envoy, id);
  remove_all(envoy, RESPONSE_HEADERS, false);
  struct span after = header_get(envoy, RESPONSE_HEADERS, SPAN("retry-after"));
  uint64_t seconds;
  if (after.size && (after.size > LONGEST_RETRY_AFTER || !span_number(after, &seconds))) {
    header_remove(envoy, RESPONSE_HEADERS, SPAN("retry-after"));
  }
  if (!secret.size) return;
  for (size_t at = 1; at < sizeof KEPT / sizeof *KEPT; at++) take_out(envoy, KEPT[at], secret);
  struct redactor redactor = {.secret = secret};
  struct buffer clean = {0};
  if (redact(&redactor, buffer_span(id), true, &clean)) {
    buffer_free(id);
    *id = clean;
  }
  redactor_free(&redactor);
}

void clean_trailers(envoy_filter envoy) { remove_all(envoy, RESPONSE_TRAILERS, true); }
