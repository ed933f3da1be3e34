#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "headers.h"

static const struct span OWN = SPAN("trunkline.request");
static const struct span NONE = SPAN("-");

// Of the answer's head, what is told to Envoy at once.
struct lines {
  struct span route, key, note;
};

// <offset>:<length>:<rest>
static bool parse_edit(struct span text, struct edit *edit) {
  struct span offset = span_next(&text, ':'), length = span_next(&text, ':');
  edit->text = text;
  return span_number(offset, &edit->offset) && span_number(length, &edit->length);
}

// The lines that tell Envoy what to do; false if they do not.
static bool parse(struct request *request, struct span head, struct lines *lines) {
  lines->route = span_next(&head, '\n');
  lines->key = span_next(&head, '\n');
  lines->note = span_next(&head, '\n');
  request->path = span_next(&head, '\n');
  struct span usage = span_next(&head, '\n'), model = span_next(&head, '\n');
  request->client_headers = head;
  if (model.size == 0) return true;  // the translator answers by itself
  request->wants_usage = !span_is(usage, NONE);
  if (request->wants_usage && !parse_edit(usage, &request->usage)) return false;
  if (!parse_edit(model, &request->model)) return false;
  struct span kind = span_next(&request->model.text, ':');
  request->model_in_form = span_is(kind, SPAN("f"));
  return request->model_in_form || span_is(kind, SPAN("j"));
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
  if (lines.note.size) CALLBACK(http_set_filter_state_bytes)(filter, SPAN("trunkline.note"), lines.note);
  // Its address: only this module reads it, in this process.
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

void request_release(struct request *request) {
  if (--request->references) return;
  buffer_free(&request->answer);
  buffer_free(&request->target);
  buffer_free(&request->failed);
  facts_free(&request->facts);
  free(request);
}

void request_failed(struct request *request, struct span status) {
  if (request->failed.size) buffer_add(&request->failed, SPAN(" "));
  buffer_add(&request->failed, request->target.size ? buffer_span(&request->target) : NONE);
  buffer_add(&request->failed, SPAN("="));
  buffer_add(&request->failed, status);
  request->failures++;
}

void request_log(const struct request *request, envoy_filter filter) {
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
