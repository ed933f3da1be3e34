#include "refusals.h"

#include <string.h>

#include "headers.h"
#include "hygiene.h"

#define ERROR(message, type, code) \
  SPAN("{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":\"" code "\"}}")

static const struct {
  uint32_t status;
  struct span details, body;
} REFUSALS[] = {
    [REFUSAL_UNAVAILABLE] = {503, SPAN("trunkline_policy_unavailable"),
                             ERROR("The gateway's policy service did not answer. Send the request again.",
                                   "server_error", "policy_unavailable")},
    [REFUSAL_TOO_LARGE] = {413, SPAN("request_payload_too_large"), NO_SPAN},
    [REFUSAL_KEY_HOLDS_TOO_MUCH] = {429, SPAN("trunkline_key_holds_too_much"),
                                    ERROR("The requests of this API key that are in flight have as many bytes as the "
                                          "gateway holds for one key. Send the request again when others have ended.",
                                          "requests", "too_many_bytes_in_flight")},
    [REFUSAL_ORGANISATION_HOLDS_TOO_MUCH] =
        {429, SPAN("trunkline_organisation_holds_too_much"),
         ERROR("The requests of this organisation that are in flight have as many bytes as the gateway holds for one "
               "organisation. Send the request again when others have ended.",
               "requests", "too_many_bytes_in_flight")},
    [REFUSAL_ALL_HOLD_TOO_MUCH] = {503, SPAN("trunkline_all_hold_too_much"),
                                   ERROR("The gateway holds as many bytes of requests as it may. Send the request "
                                         "again later.",
                                         "server_error", "gateway_overloaded")},
    [REFUSAL_CANCELLED] = {499, SPAN("trunkline_cancelled"),
                           ERROR("An operator of this gateway cancelled this request.", "invalid_request_error",
                                 "request_cancelled")},
};

void refusal_send(envoy_filter filter, enum refusal refusal) {
  struct header headers[] = {{SPAN("content-type"), SPAN("application/json")},
                             {SPAN("retry-after"), SPAN("1")},
                             {SPAN("retry-after-ms"), SPAN("1000")},
                             {SPAN("x-should-retry"), SPAN("true")}};
  size_t count = refusal == REFUSAL_TOO_LARGE ? 0 : sizeof headers / sizeof *headers;
  if (refusal == REFUSAL_CANCELLED) {
    headers[1] = (struct header){SPAN("x-should-retry"), SPAN("false")};
    count = 2;
  }
  CALLBACK(http_send_response)
  (filter, REFUSALS[refusal].status, headers, count, REFUSALS[refusal].body, REFUSALS[refusal].details);
}

void refusal_cancel(envoy_filter filter, bool answered) {
  if (answered) {
    CALLBACK(http_filter_reset_stream)(filter, RESET_LOCAL, REFUSALS[REFUSAL_CANCELLED].details);
  } else {
    refusal_send(filter, REFUSAL_CANCELLED);
  }
}

static void pass_on(envoy_filter filter, unsigned status, struct span head, struct span body, struct span details) {
  struct header_lines lines;
  header_lines(head, &lines);
  CALLBACK(http_send_response)(filter, status, lines.all, lines.count, body, details);
  header_lines_free(&lines);
}

void refusal_pass_on(envoy_filter filter, struct reply reply) {
  pass_on(filter, reply.status, reply.head, reply.body, SPAN("trunkline_refused"));
}

void cached_pass_on(envoy_filter filter, struct reply reply) {
  struct span head = reply.head, context = span_next(&head, '\n');
  CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.note"), context);
  pass_on(filter, 200, head, reply.body, SPAN("trunkline_kept"));
}

void refusal_replace_headers(envoy_filter filter, const struct word *word) {
  struct span after = {word->retry_after, strlen(word->retry_after)};
  uint64_t seconds = 0;
  header_set_number(filter, RESPONSE_HEADERS, SPAN(":status"), word->status);
  header_set_number(filter, RESPONSE_HEADERS, SPAN("content-length"), word->body.size);
  header_set(filter, RESPONSE_HEADERS, SPAN("content-type"), SPAN("application/json"));
  if (!span_number(after, &seconds)) {
    // Envoy's own answers say when to come back, but this one is final.
    header_remove(filter, RESPONSE_HEADERS, SPAN("retry-after"));
    header_remove(filter, RESPONSE_HEADERS, SPAN("retry-after-ms"));
    header_remove(filter, RESPONSE_HEADERS, SPAN("x-should-retry"));
    return;
  }
  header_set(filter, RESPONSE_HEADERS, SPAN("retry-after"), after);
  header_set_number(filter, RESPONSE_HEADERS, SPAN("retry-after-ms"), seconds * 1000);
  header_set(filter, RESPONSE_HEADERS, SPAN("x-should-retry"), worth_waiting(seconds));
}
