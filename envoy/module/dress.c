#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "filters.h"
#include "headers.h"
#include "hosts.h"

// What the endpoint's metadata says about its target: <flags> <path prefix or -> <credential or -> <target> <name>.
// flags: u, it understands stream_options; n, it is a node and the credential its id; o, the node belongs to whoever
// asks. target: its id, percent-encoded. name: the model's there, as a JSON string; it may contain spaces.
struct target {
  bool understands_usage, node, own;
  struct span prefix, credential, id, model;
};

struct dress {
  struct filter filter;
  struct request *request;
  struct buffer metadata;  // what `target` points into: Envoy may replace its own at any time
  struct target target;
  uint64_t host;
  bool asked, answered;
  bool edits_model, edits_usage;
  struct buffer form_model;  // the model's name at the target, for a form
  struct span refusal;  // stands for the answer's body, if there is one
  struct answer answer;
};

static const struct span NONE = SPAN("-");
// What is wrong with the gateway itself, whatever the target.
static const struct word MISTAKEN = {
    500,
    SPAN("{\"error\":{\"message\":\"The gateway could not prepare this request for its target. Its operator can tell "
         "why "
         "from the request's id.\",\"type\":\"server_error\",\"param\":null,\"code\":\"internal_error\"}}"),
    "",
};

static bool has_flag(struct span flags, char flag) {
  return flags.size && memchr(flags.data, flag, flags.size) != NULL;
}

static bool find_target(struct dress *dress) {
  struct target *target = &dress->target;
  struct span text;
  if (!CALLBACK(http_get_metadata_string)(dress->filter.envoy, METADATA_HOST, SPAN("trunkline"), SPAN("dress"),
                                          &text)) {
    return false;
  }
  buffer_add(&dress->metadata, text);
  text = buffer_span(&dress->metadata);
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
  return target->id.size > 0;
}

// Headers persist into the next attempt and the body does not, so every header is written anew each time.
static void dress_headers(struct dress *dress) {
  envoy_filter envoy = dress->filter.envoy;
  const struct target *target = &dress->target;
  struct buffer value = {0};
  if (!span_is(target->prefix, NONE)) buffer_add(&value, target->prefix);
  buffer_add(&value, dress->request->path);
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
  // Without the header, any coding would do, and the usage could not be read.
  header_set(envoy, REQUEST_HEADERS, SPAN("accept-encoding"), SPAN("identity"));

  if (target->node) {
    header_set(envoy, REQUEST_HEADERS, SPAN("x-trunkline-node"), target->credential);
  } else if (dress->request->attempts > 1) {
    header_remove(envoy, REQUEST_HEADERS, SPAN("x-trunkline-node"));
  }
  if (target->node && target->own) {
    header_set(envoy, REQUEST_HEADERS, SPAN("x-trunkline-own"), SPAN("1"));
  } else if (dress->request->attempts > 1) {
    header_remove(envoy, REQUEST_HEADERS, SPAN("x-trunkline-own"));
  }
}

// The model's name at the target, as it stands in this body: a JSON string, or in a form the name itself. A name has
// no control characters, so nothing but its quotes and backslashes is escaped in the string.
static struct span model_there(struct dress *dress) {
  struct span name = dress->target.model;
  if (!dress->request->model_in_form || name.size < 2) return name;
  dress->form_model.size = 0;
  for (size_t at = 1; at < name.size - 1; at++) {
    if (name.data[at] == '\\') at++;
    buffer_add(&dress->form_model, span_between(name, at, at + 1));
  }
  return buffer_span(&dress->form_model);
}

static struct filter *new(void *config, envoy_filter envoy) {
  (void)config, (void)envoy;
  struct dress *dress = allocate(sizeof *dress);
  memset(dress, 0, sizeof *dress);
  return &dress->filter;
}

// Answers the client in the target's place. Envoy takes nothing from that, neither about the host nor for a retry.
static void answer_instead(struct dress *dress, struct word word, struct span details) {
  struct header headers[] = {{SPAN("content-type"), SPAN("application/json")},
                             {SPAN("retry-after"), {word.retry_after, strlen(word.retry_after)}}};
  dress->answered = true;
  CALLBACK(http_send_response)
  (dress->filter.envoy, word.status, headers, *word.retry_after ? 2 : 1, word.body, details);
}

// Whether the attempt has its connection already, as is usual for nodes.
static bool is_connected(envoy_filter envoy) {
  struct span address = NO_SPAN;
  return CALLBACK(http_filter_get_attribute_string)(envoy, ATTRIBUTE_UPSTREAM_LOCAL_ADDRESS, &address) && address.size;
}

// Has Envoy eject the node, which rests, and send the request to another one. Not at once: the router is about to send
// this attempt.
static void eject_soon(struct dress *dress) {
  envoy_scheduler scheduler = CALLBACK(http_filter_scheduler_new)(dress->filter.envoy);
  dress->answered = true;
  CALLBACK(http_filter_scheduler_commit)(scheduler, 0);
  CALLBACK(http_filter_scheduler_delete)(scheduler);
}

static void scheduled(struct filter *filter, uint64_t event) {
  (void)event;
  struct header headers[] = {{SPAN(":status"), SPAN("503")}};
  CALLBACK(http_send_response_headers)(filter->envoy, headers, 1, true);
}

static enum headers_status request_headers(struct filter *filter, bool last) {
  struct dress *dress = (struct dress *)filter;
  struct request *request = dress->request = request_of(filter->envoy);
  // Nothing reaches a target that the translator has not let through, or that we know nothing of.
  if (!request || !find_target(dress)) {
    answer_instead(dress, MISTAKEN, SPAN("trunkline_undressed"));
    return HEADERS_STOP;
  }
  const struct choice *choice = &request->choice;
  dress->host = dress->target.node ? host_of_node(request->cluster, dress->target.credential) : request->cluster;
  choice_begin(&request->choice);
  if (choice->verdict == CHOICE_GIVE_UP) {
    answer_instead(dress, last_word(&request->outcome), SPAN("trunkline_nothing_left"));
    return HEADERS_STOP;
  }
  bool others = dress->target.node && choice->others && choice->more;
  if (others && hosts_rests(dress->host, hosts_now()) && is_connected(filter->envoy)) {
    eject_soon(dress);
    return HEADERS_STOP;
  }
  dress->asked = true;
  // The attempts before this one noted their failures themselves, unless nothing came that they could have seen.
  if (request->failures < request->attempts) request_failed(request, SPAN("0"));
  request->attempts++;
  facts_clear(&request->facts);
  request->target.size = 0;
  buffer_add(&request->target, dress->target.id);
  dress_headers(dress);
  dress->edits_model = request->model.length && !span_is(request->model.text, model_there(dress));
  dress->edits_usage = request->wants_usage && dress->target.understands_usage;
  request->asked_for_usage = dress->edits_usage;
  return !last && (dress->edits_model || dress->edits_usage) ? HEADERS_STOP : HEADERS_CONTINUE;
}

// `body` with the edits, in the order of their places.
static bool splice(struct dress *dress, struct span body, struct buffer *into) {
  struct edit edits[2];
  int count = 0;
  if (dress->edits_model) {
    edits[count++] = (struct edit){dress->request->model.offset, dress->request->model.length, model_there(dress)};
  }
  if (dress->edits_usage) edits[count++] = dress->request->usage;
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

// Edits the body, whose last part is there as `last`. False if that cannot be: then the client has its answer.
static bool edit_body(struct dress *dress, int last) {
  envoy_filter envoy = dress->filter.envoy;
  struct buffer body = {0}, edited = {0};
  body_copy(envoy, BUFFERED_REQUEST, &body);
  if (last != BUFFERED_REQUEST) body_copy(envoy, last, &body);
  bool whole = splice(dress, buffer_span(&body), &edited);
  if (whole) {
    struct buffer length = {0};
    buffer_add_number(&length, edited.size);
    header_set(envoy, REQUEST_HEADERS, SPAN("content-length"), buffer_span(&length));
    buffer_free(&length);
    body_replace(envoy, BUFFERED_REQUEST, NO_SPAN);
    body_replace(envoy, last, buffer_span(&edited));
  } else {
    answer_instead(dress, MISTAKEN, SPAN("trunkline_edit_outside_body"));
  }
  buffer_free(&body);
  buffer_free(&edited);
  return whole;
}

static enum body_status request_body(struct filter *filter, bool last) {
  struct dress *dress = (struct dress *)filter;
  if (!dress->edits_model && !dress->edits_usage) return BODY_CONTINUE;
  return last && edit_body(dress, RECEIVED_REQUEST) ? BODY_CONTINUE : BODY_STOP_AND_BUFFER;
}

// Behind a body that had no last part.
static enum trailers_status request_trailers(struct filter *filter) {
  struct dress *dress = (struct dress *)filter;
  if (!dress->edits_model && !dress->edits_usage) return TRAILERS_CONTINUE;
  return edit_body(dress, BUFFERED_REQUEST) ? TRAILERS_CONTINUE : TRAILERS_STOP;
}

// What a provider says about its own account or session is not the client's business.
static bool is_private(struct span name) {
  static const struct span PREFIXES[] = {SPAN("x-ratelimit-"), SPAN("x-trunkline-"), SPAN("x-envoy-")};
  static const struct span NAMES[] = {SPAN("x-request-id"), SPAN("set-cookie"), SPAN("openai-organization"),
                                      SPAN("openai-project")};
  for (size_t at = 0; at < sizeof PREFIXES / sizeof *PREFIXES; at++) {
    if (span_begins(name, PREFIXES[at])) return true;
  }
  for (size_t at = 0; at < sizeof NAMES / sizeof *NAMES; at++) {
    if (span_is(name, NAMES[at])) return true;
  }
  return false;
}

static void remove_private_headers(envoy_filter envoy) {
  size_t count = CALLBACK(http_get_headers_size)(envoy, RESPONSE_HEADERS);
  struct header few[64], *headers = count <= 64 ? few : allocate(count * sizeof *headers);
  struct buffer names = {0};
  if (CALLBACK(http_get_headers)(envoy, RESPONSE_HEADERS, headers)) {
    for (size_t at = 0; at < count; at++) {
      if (!is_private(headers[at].key)) continue;
      buffer_add(&names, headers[at].key);
      buffer_add(&names, SPAN("\n"));
    }
  }
  // Copied first: a change makes what Envoy gave out invalid.
  for (struct span rest = buffer_span(&names); rest.size;) {
    header_remove(envoy, RESPONSE_HEADERS, span_next(&rest, '\n'));
  }
  buffer_free(&names);
  if (headers != few) free(headers);
}

// A provider's 401 or 403 is about the gateway's credential there, never about the client's key, and its text may
// quote the credential. As 502 it is retried, counted against the target, and, if it is the last word, told truly.
static struct span refusal(bool forbidden) {
#define REFUSAL(status)                                                                                          \
  "{\"error\":{\"message\":\"The target refused the gateway's own credential (" status                           \
  "). This is for the gateway's operator to mend; your key is fine.\",\"type\":\"server_error\",\"param\":null," \
  "\"code\":\"upstream_authentication_failed\"}}"
  return forbidden ? SPAN(REFUSAL("403")) : SPAN(REFUSAL("401"));
}

static void hide_refusal(struct dress *dress, bool forbidden, bool last) {
  envoy_filter envoy = dress->filter.envoy;
  struct span body = refusal(forbidden);
  struct buffer length = {0};
  buffer_add_number(&length, body.size);
  header_set(envoy, RESPONSE_HEADERS, SPAN("content-type"), SPAN("application/json"));
  header_set(envoy, RESPONSE_HEADERS, SPAN("content-length"), buffer_span(&length));
  header_remove(envoy, RESPONSE_HEADERS, SPAN("www-authenticate"));
  header_remove(envoy, RESPONSE_HEADERS, SPAN("content-encoding"));
  buffer_free(&length);
  if (last) {
    CALLBACK(http_append_body)(envoy, BUFFERED_RESPONSE, body);
    return;
  }
  dress->refusal = body;  // in the place of the last of what the target sends
}

// Shows Envoy a status that says what to do, in the place of `status`, which the client sees in the end.
static void show(struct dress *dress, unsigned shown, unsigned status) {
  struct buffer text = {0};
  buffer_add_number(&text, shown);
  header_set(dress->filter.envoy, RESPONSE_HEADERS, SPAN(":status"), buffer_span(&text));
  buffer_free(&text);
  dress->request->status = status;
}

// The answer is a failure, and the true status what the client sees if it is the last word.
static void fail(struct dress *dress, unsigned status) {
  struct outcome *outcome = &dress->request->outcome;
  struct span after = header_get(dress->filter.envoy, RESPONSE_HEADERS, SPAN("retry-after"));
  uint64_t seconds;
  outcome->status = status;
  outcome->retry_after[0] = 0;
  if (after.size < sizeof outcome->retry_after && span_number(after, &seconds)) {
    memcpy(outcome->retry_after, after.data, after.size);
    outcome->retry_after[after.size] = 0;
  }
  // Of machines, Envoy chooses: one that goes on failing is ejected, so that it is not chosen for a while.
  const struct choice *choice = &dress->request->choice;
  bool eject = dress->target.node && choice->others && choice->more && hosts_suspects(dress->host);
  show(dress, eject ? STATUS_EJECT : choice->more ? STATUS_RETRY : STATUS_FINAL, status);
}

// Whether the answer is one for the client; what happens to it if not is done.
static bool judge(struct dress *dress, bool last) {
  struct request *request = dress->request;
  struct span text = header_get(dress->filter.envoy, RESPONSE_HEADERS, SPAN(":status"));
  uint64_t status;
  if (!span_number(text, &status)) status = 0;
  enum fate fate = fate_of((unsigned)status);
  hosts_answered(dress->host);
  if (fate == FATE_SERVED) {
    request_served_by(request, dress->host);
    return true;
  }
  request_failed(request, text);
  if (fate == FATE_REFUSED || fate == FATE_FAILED) request_failed_at(request, dress->host);
  if (fate == FATE_REFUSED) {
    hide_refusal(dress, status == 403, last);
    fail(dress, 502);
  } else if (fate == FATE_FAILED || fate == FATE_LIMITED) {
    fail(dress, (unsigned)status);
  } else if (fate == FATE_UNABLE || status == STATUS_FINAL || status == STATUS_RETRY) {
    show(dress, STATUS_FINAL, (unsigned)status);
  }
  return false;
}

static enum headers_status response_headers(struct filter *filter, bool last) {
  struct dress *dress = (struct dress *)filter;
  struct request *request = dress->request;
  envoy_filter envoy = filter->envoy;
  if (!request || dress->answered) return HEADERS_CONTINUE;
  dress->answered = true;
  remove_private_headers(envoy);
  if (!judge(dress, last)) return HEADERS_CONTINUE;
  dress->answer.kind = answer_kind(header_get(envoy, RESPONSE_HEADERS, SPAN("content-type")));
  struct span coding = header_get(envoy, RESPONSE_HEADERS, SPAN("content-encoding"));
  if (!answer_is_plain(coding)) {
    dress->answer.kind = ANSWER_IGNORED;
    facts_word(&request->facts, WORD_CODING, span_next(&coding, ','));
  }
  if (dress->answer.kind == ANSWER_EVENTS) {
    request->streamed = true;
    header_remove(envoy, RESPONSE_HEADERS, SPAN("content-length"));
  }
  return HEADERS_CONTINUE;
}

static void follow_plain(struct dress *dress) {
  struct slices slices;
  body_slices(dress->filter.envoy, RECEIVED_RESPONSE, &slices);
  for (size_t at = 0; at < slices.count; at++) answer_plain(&dress->answer, dress->request, slices.all[at]);
  slices_free(&slices);
}

static void follow_events(struct dress *dress, bool last) {
  envoy_filter envoy = dress->filter.envoy;
  struct slices slices;
  body_slices(envoy, RECEIVED_RESPONSE, &slices);
  struct buffer joined = {0}, passed = {0};
  struct span chunk = slices.count == 1 ? slices.all[0] : NO_SPAN;
  if (slices.count > 1) {
    for (size_t at = 0; at < slices.count; at++) buffer_add(&joined, slices.all[at]);
    chunk = buffer_span(&joined);
  }
  if (answer_events(&dress->answer, dress->request, chunk, last, &passed)) {
    body_replace(envoy, RECEIVED_RESPONSE, buffer_span(&passed));
  }
  slices_free(&slices);
  buffer_free(&joined);
  buffer_free(&passed);
}

static enum body_status response_body(struct filter *filter, bool last) {
  struct dress *dress = (struct dress *)filter;
  if (dress->refusal.size) {
    body_replace(filter->envoy, RECEIVED_RESPONSE, last ? dress->refusal : NO_SPAN);
  } else if (dress->answer.kind == ANSWER_PLAIN) {
    follow_plain(dress);
  } else if (dress->answer.kind == ANSWER_EVENTS) {
    follow_events(dress, last);
  }
  return BODY_CONTINUE;
}

static enum trailers_status response_trailers(struct filter *filter) {
  struct dress *dress = (struct dress *)filter;
  struct buffer passed = {0};
  if (dress->refusal.size) {
    buffer_add(&passed, dress->refusal);
  } else if (dress->answer.kind == ANSWER_EVENTS) {
    answer_events(&dress->answer, dress->request, NO_SPAN, true, &passed);
  }
  if (passed.size) CALLBACK(http_append_body)(filter->envoy, BUFFERED_RESPONSE, buffer_span(&passed));
  buffer_free(&passed);
  return TRAILERS_CONTINUE;
}

static void destroy(struct filter *filter) {
  struct dress *dress = (struct dress *)filter;
  if (dress->asked && !dress->answered) dress->request->missed = dress->host;
  buffer_free(&dress->metadata);
  buffer_free(&dress->form_model);
  answer_free(&dress->answer);
  if (dress->request) request_release(dress->request);
  free(dress);
}

// It has no settings; something must be given out for one that is accepted.
static void *configure(struct span config) { return config.size == 0 ? (void *)&dress_filter : NULL; }

const struct filter_kind dress_filter = {
    .configure = configure,
    .new = new,
    .request_headers = request_headers,
    .request_body = request_body,
    .request_trailers = request_trailers,
    .response_headers = response_headers,
    .response_body = response_body,
    .response_trailers = response_trailers,
    .scheduled = scheduled,
    .destroy = destroy,
};
