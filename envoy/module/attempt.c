#include "attempt.h"

#include <stdlib.h>
#include <string.h>

#include "headers.h"
#include "hosts.h"
#include "hygiene.h"
#include "running.h"
#include "verdict.h"

static const struct span NONE = SPAN("-");
// The answer to an error of the gateway itself, for any target.
static const struct word MISTAKEN = {
    500,
    SPAN("{\"error\":{\"message\":\"The gateway could not prepare this request for its target. Its operator can find "
         "the reason by the request's id.\",\"type\":\"server_error\",\"param\":null,\"code\":\"internal_error\"}}"),
    "",
};

static bool has_flag(struct span flags, char flag) {
  return flags.size && memchr(flags.data, flag, flags.size) != NULL;
}

static bool find_target(struct attempt *attempt) {
  struct target *target = &attempt->target;
  struct span text;
  if (!CALLBACK(http_get_metadata_string)(attempt->filter.envoy, METADATA_HOST, SPAN("trunkline"), SPAN("dress"),
                                          &text)) {
    return false;
  }
  buffer_add(&attempt->metadata, text);
  text = buffer_span(&attempt->metadata);
  struct span flags = span_next(&text, ' ');
  *target = (struct target){
      .understands_usage = has_flag(flags, 'u'),
      .node = has_flag(flags, 'n'),
      .own = has_flag(flags, 'o'),
  };
  target->prefix = span_next(&text, ' ');
  target->credential = span_next(&text, ' ');
  target->id = span_next(&text, ' ');
  target->model = text;
  if (!target->node && !span_is(target->credential, NONE)) attempt->redactor = redactor_of(target->credential);
  return target->id.size > 0;
}

// Headers persist into the next attempt and the body does not, so every header is written again each time.
static void prepare_headers(struct attempt *attempt) {
  envoy_filter envoy = attempt->filter.envoy;
  const struct target *target = &attempt->target;
  struct buffer value = {0};
  if (!span_is(target->prefix, NONE)) buffer_add(&value, target->prefix);
  buffer_add(&value, attempt->request->path);
  header_set(envoy, REQUEST_HEADERS, SPAN(":path"), buffer_span(&value));

  value.size = 0;
  bool bearer = !target->node && !span_is(target->credential, NONE);
  if (bearer) {
    buffer_add(&value, SPAN("Bearer "));
    buffer_add(&value, target->credential);
    header_set(envoy, REQUEST_HEADERS, SPAN("authorization"), buffer_span(&value));
  } else {
    header_remove(envoy, REQUEST_HEADERS, SPAN("authorization"));
  }
  buffer_free(&value);
  // The body has been read as JSON in UTF-8. A target that believed another type could find another model in it.
  char kind = attempt->request->model_kind;
  if ((kind == 'j' || kind == 'o') && !attempt->request->fetches) {
    header_set(envoy, REQUEST_HEADERS, SPAN("content-type"), SPAN("application/json"));
  }
  // Without this header, the target may use any coding, and the usage could not be read.
  header_set(envoy, REQUEST_HEADERS, SPAN("accept-encoding"), SPAN("identity"));

  if (attempt->request->sticky && attempt->request->attempts == 1)
    header_remove(envoy, REQUEST_HEADERS, AFFINITY_HEADER);
  if (target->node) {
    header_set(envoy, REQUEST_HEADERS, SPAN("x-trunkline-node"), target->credential);
  } else if (attempt->request->attempts > 1) {
    header_remove(envoy, REQUEST_HEADERS, SPAN("x-trunkline-node"));
  }
  // A fetch names no model in its body, but a node finds the local server by the model. No other attempt follows.
  if (target->node && attempt->request->fetches) header_set(envoy, REQUEST_HEADERS, MODEL_HEADER, target->model);
  if (target->node && target->own) {
    header_set(envoy, REQUEST_HEADERS, SPAN("x-trunkline-own"), SPAN("1"));
  } else if (attempt->request->attempts > 1) {
    header_remove(envoy, REQUEST_HEADERS, SPAN("x-trunkline-own"));
  }
}

// Adds the text of a name that is a JSON string.
static void add_text(struct buffer *into, struct span name) {
  for (size_t at = 1; at + 1 < name.size; at++) {
    if (name.data[at] == '\\') at++;
    buffer_add(into, span_between(name, at, at + 1));
  }
}

// Returns what replaces the model's name in this body: a JSON string or, in a form, the name itself. If the request
// names no model, the beginning of the object or form precedes it. A name has no control characters, so only its quotes
// and backslashes are escaped in the string.
static struct span model_there(struct attempt *attempt) {
  struct span name = attempt->target.model, opening = attempt->request->model.text;
  if (attempt->request->model_kind == 'j') return name;
  attempt->model.size = 0;
  switch (attempt->request->model_kind) {
    case 'o':
      buffer_add(&attempt->model, SPAN("{\"model\":"));
      buffer_add(&attempt->model, name);
      buffer_add(&attempt->model, SPAN(","));
      break;
    case 'p':
      buffer_add(&attempt->model, opening);
      buffer_add(&attempt->model, SPAN("\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"));
      add_text(&attempt->model, name);
      buffer_add(&attempt->model, SPAN("\r\n"));
      buffer_add(&attempt->model, opening);
      break;
    default:
      add_text(&attempt->model, name);
  }
  return buffer_span(&attempt->model);
}

static struct filter *new(void *config, envoy_filter envoy) {
  (void)config, (void)envoy;
  struct attempt *attempt = allocate(sizeof *attempt);
  memset(attempt, 0, sizeof *attempt);
  return &attempt->filter;
}

// Answers the client in the target's place. Envoy draws no conclusions from that, neither about the host nor for a
// retry.
static void answer_instead(struct attempt *attempt, struct word word, struct span details) {
  struct span after = {word.retry_after, strlen(word.retry_after)};
  uint64_t seconds = 0;
  bool waits = span_number(after, &seconds);
  struct buffer milliseconds = {0};
  buffer_add_number(&milliseconds, seconds * 1000);
  struct header headers[] = {{SPAN("content-type"), SPAN("application/json")},
                             {SPAN("retry-after"), after},
                             {SPAN("retry-after-ms"), buffer_span(&milliseconds)},
                             {SPAN("x-should-retry"), worth_waiting(seconds)}};
  attempt->answered = true;
  CALLBACK(http_send_response)
  (attempt->filter.envoy, word.status, headers, waits ? sizeof headers / sizeof *headers : 1, word.body, details);
  buffer_free(&milliseconds);
}

// Returns whether the attempt already has its connection, as is usual for nodes.
static bool is_connected(envoy_filter envoy) {
  struct span address = NO_SPAN;
  return CALLBACK(http_filter_get_attribute_string)(envoy, ATTRIBUTE_UPSTREAM_LOCAL_ADDRESS, &address) && address.size;
}

// Has Envoy send the request to another node than this one, which rests, and eject this one if `status` is
// STATUS_EJECT. Not immediately, because the router is about to send this attempt.
static void move_on_soon(struct attempt *attempt, unsigned status) {
  envoy_scheduler scheduler = CALLBACK(http_filter_scheduler_new)(attempt->filter.envoy);
  attempt->answered = true;
  CALLBACK(http_filter_scheduler_commit)(scheduler, status);
  CALLBACK(http_filter_scheduler_delete)(scheduler);
}

static void scheduled(struct filter *filter, uint64_t event) {
  bool ejects = event == STATUS_EJECT;
  struct header headers[] = {{SPAN(":status"), ejects ? SPAN("503") : SPAN("497")}};
  // The client gets this if Envoy does not send the request on after all.
  if (!ejects) ((struct attempt *)filter)->request->status = 429;
  CALLBACK(http_send_response_headers)(filter->envoy, headers, 1, true);
}

static enum headers_status request_headers(struct filter *filter, bool last) {
  struct attempt *attempt = (struct attempt *)filter;
  struct request *request = attempt->request = request_of(filter->envoy);
  // No request reaches a target unless the translator has let it through and the target is known here.
  if (!request || !find_target(attempt)) {
    answer_instead(attempt, MISTAKEN, SPAN("trunkline_undressed"));
    return HEADERS_STOP;
  }
  const struct choice *choice = &request->choice;
  attempt->host = attempt->target.node ? host_of_node(request->cluster, attempt->target.credential) : request->cluster;
  choice_begin(&request->choice);
  if (choice->verdict == CHOICE_GIVE_UP) {
    answer_instead(attempt, last_word(&request->outcome), SPAN("trunkline_nothing_left"));
    return HEADERS_STOP;
  }
  bool others = attempt->target.node && choice->others && choice->more;
  if (others && !hosts_are_open()) {
    enum host_state state = hosts_state(attempt->host, request_caller(request), 0, hosts_now());
    if (state >= HOST_RESTS && is_connected(filter->envoy)) {
      move_on_soon(attempt, state == HOST_PAUSED ? STATUS_RETRY : STATUS_EJECT);
      return HEADERS_STOP;
    }
  }
  attempt->asked = true;
  attempt->runs = !attempt->target.node && running_begin(attempt->host);
  // Earlier attempts recorded their own failures, unless they received nothing that they could have seen.
  if (request->failures < request->attempts) request_failed(request, SPAN("0"));
  facts_clear(&request->facts);
  request->facts.wants_id = request_makes(request);
  live_lock();
  request->attempts++;
  request->target.size = 0;
  buffer_add(&request->target, attempt->target.id);
  live_unlock();
  prepare_headers(attempt);
  attempt->edits_model = request->model_kind && !span_is(request->model.text, model_there(attempt));
  attempt->edits_usage = request->wants_usage && attempt->target.understands_usage;
  if (!last && (attempt->edits_model || attempt->edits_usage)) return HEADERS_STOP;
  if (request->resized) header_set_number(filter->envoy, REQUEST_HEADERS, SPAN("content-length"), request->body_size);
  return HEADERS_CONTINUE;
}

// Applies the edits to `body`, in the order of their offsets.
static bool splice(struct attempt *attempt, struct span body, struct buffer *into) {
  struct edit edits[2];
  int count = 0;
  if (attempt->edits_model) {
    edits[count++] =
        (struct edit){attempt->request->model.offset, attempt->request->model.length, model_there(attempt)};
  }
  if (attempt->edits_usage) edits[count++] = attempt->request->usage;
  if (count == 2 && edits[1].offset < edits[0].offset) {
    struct edit first = edits[1];
    edits[1] = edits[0];
    edits[0] = first;
  }
  size_t position = 0;
  for (int at = 0; at < count; at++) {
    const struct edit *edit = &edits[at];
    if (edit->offset < position || edit->offset > body.size || edit->length > body.size - edit->offset) return false;
    buffer_add(into, span_between(body, position, edit->offset));
    buffer_add(into, edit->text);
    position = edit->offset + edit->length;
  }
  buffer_add(into, span_from(body, position));
  return true;
}

// Edits the body, whose last part is in `last`. Returns false if that is impossible; then the client has its answer.
static bool edit_body(struct attempt *attempt, int last) {
  envoy_filter envoy = attempt->filter.envoy;
  struct buffer body = {0}, edited = {0};
  body_copy(envoy, BUFFERED_REQUEST, &body);
  if (last != BUFFERED_REQUEST) body_copy(envoy, last, &body);
  bool whole = splice(attempt, buffer_span(&body), &edited);
  if (whole) {
    attempt->request->resized = true;
    attempt->request->body_size = body.size;
    header_set_number(envoy, REQUEST_HEADERS, SPAN("content-length"), edited.size);
    body_replace(envoy, BUFFERED_REQUEST, NO_SPAN);
    body_replace(envoy, last, buffer_span(&edited));
  } else {
    answer_instead(attempt, MISTAKEN, SPAN("trunkline_edit_outside_body"));
  }
  buffer_free(&body);
  buffer_free(&edited);
  return whole;
}

static enum body_status request_body(struct filter *filter, bool last) {
  struct attempt *attempt = (struct attempt *)filter;
  if (!attempt->edits_model && !attempt->edits_usage) return BODY_CONTINUE;
  return last && edit_body(attempt, RECEIVED_REQUEST) ? BODY_CONTINUE : BODY_STOP_AND_BUFFER;
}

// After a body without a last part.
static enum trailers_status request_trailers(struct filter *filter) {
  struct attempt *attempt = (struct attempt *)filter;
  if (!attempt->edits_model && !attempt->edits_usage) return TRAILERS_CONTINUE;
  return edit_body(attempt, BUFFERED_REQUEST) ? TRAILERS_CONTINUE : TRAILERS_STOP;
}

static void destroy(struct filter *filter) {
  struct attempt *attempt = (struct attempt *)filter;
  if (attempt->asked && !attempt->answered) attempt->request->missed = attempt->host;
  if (attempt->runs) running_end(attempt->host);
  buffer_free(&attempt->metadata);
  buffer_free(&attempt->model);
  buffer_free(&attempt->held);
  redactor_free(&attempt->redactor);
  answer_free(&attempt->answer);
  if (attempt->request) request_release(attempt->request);
  free(attempt);
}

// There are no settings; an accepted configuration must return any non-NULL pointer.
static void *configure(struct span config) { return config.size == 0 ? (void *)&attempt_filter : NULL; }

const struct filter_kind attempt_filter = {
    .configure = configure,
    .new = new,
    .request_headers = request_headers,
    .request_body = request_body,
    .request_trailers = request_trailers,
    .response_headers = verdict_headers,
    .response_body = verdict_body,
    .response_trailers = verdict_trailers,
    .scheduled = scheduled,
    .destroy = destroy,
};
