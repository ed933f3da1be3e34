#include <stdlib.h>
#include <string.h>

#include "authorise.h"
#include "headers.h"

enum {
  LONGEST_TIMEOUT_MS = 3600000,
  MAX_BODY = 1 << 30,  // a check's length has 32 bits
  // Bytes up to which a body is not counted for its key: the rest of the stream weighs more.
  UNCOUNTED_BODY = 4 * 1024,
};

static struct authorise *of(struct filter *filter) { return (struct authorise *)filter; }

static void *configure(struct span text) {
  const char *path = getenv("TRUNKLINE_TRANSLATOR_SOCKET");
  struct settings made;
  uint64_t timeout_ms,
      *numbers[] = {&timeout_ms, &made.max_body, &made.max_of_strangers, &made.max_of_key, &made.max_in_all};
  bool sound = true;
  size_t count = sizeof numbers / sizeof *numbers;
  for (size_t at = 0; at < count; at++) {
    struct span number = at + 1 < count ? span_next(&text, ' ') : text;
    sound = sound && span_number(number, numbers[at]);
  }
  if (!sound || timeout_ms < 1 || timeout_ms > LONGEST_TIMEOUT_MS || made.max_body > MAX_BODY) {
    CALLBACK(log)(LOG_ERROR, SPAN("trunkline authorise: the configuration is not `<timeout in ms> <bytes of a body> "
                                  "<bytes of strangers> <bytes of a key> <bytes of all keys>`"));
    return NULL;
  }
  if (!path || !*path || strlen(path) >= LONGEST_PATH) {
    CALLBACK(log)(LOG_ERROR, SPAN("trunkline authorise: TRUNKLINE_TRANSLATOR_SOCKET names no usable socket"));
    return NULL;
  }
  for (int lane = 0; lane < 2; lane++) {
    made.lanes[lane] = connection_open(path, (unsigned)timeout_ms, (enum lane)lane);
    if (made.lanes[lane]) continue;
    if (lane) connection_close(made.lanes[0]);
    return NULL;
  }
  struct settings *settings = allocate(sizeof *settings);
  *settings = made;
  return settings;
}

static void unconfigure(void *config) {
  struct settings *settings = config;
  for (int lane = 0; lane < 2; lane++) connection_close(settings->lanes[lane]);
  free(settings);
}

static struct filter *new(void *config, envoy_filter envoy) {
  (void)envoy;
  struct authorise *authorise = allocate(sizeof *authorise);
  memset(authorise, 0, sizeof *authorise);
  authorise->settings = config;
  return &authorise->filter;
}

// Replaces the first bytes of the body by `text`.
static void replace_beginning(struct authorise *authorise, size_t replaced, struct span text) {
  envoy_filter envoy = authorise->filter.envoy;
  struct buffer body = {0}, made = {0};
  body_copy(envoy, BUFFERED_REQUEST, &body);
  buffer_add(&made, text);
  buffer_add(&made, span_from(buffer_span(&body), replaced));
  body_replace(envoy, BUFFERED_REQUEST, buffer_span(&made));
  header_set_number(envoy, REQUEST_HEADERS, SPAN("content-length"), made.size);
  buffer_free(&body);
  buffer_free(&made);
}

// Routes the request, which may pass. Returns false if the answer is invalid.
static bool route(struct authorise *authorise, struct reply reply, struct pending_check *check) {
  struct span head = reply.head, text = NO_SPAN;
  size_t replaced = 0;
  if (reply.body.size && (!reply_beginning(reply.body, &replaced, &text) || replaced > check_buffered(authorise))) {
    return false;
  }
  struct span end = span_next(&head, '\n'), account = span_next(&head, '\n'), copy = span_next(&head, '\n');
  authorise->request = request_new(head, authorise->filter.envoy);
  if (!authorise->request) return false;
  authorise->request->connection = authorise->connection;
  authorise->request->number = authorise->number;
  authorise->phase = DECIDED;
  authorise->counted = end.size > 0;
  copy_expect(&authorise->copy, copy);
  uint64_t size = check_buffered(authorise);
  if (!authorise->account && account.size && size > UNCOUNTED_BODY) {
    authorise->account = account_open(account);
    if (!check_hold(authorise, size)) return true;
  }
  struct span id = {authorise->id, authorise->id_size};
  authorise->request->since = pending_check_asked_ms(check);
  live_begin(&authorise->request->live, id, authorise->request, pending_check_keep_scheduler(check), CANCELLED);
  // If no more of the body was read, the limit is still that of a body whose head is not checked.
  CALLBACK(http_set_buffer_limit)(authorise->filter.envoy, authorise->settings->max_body);
  if (reply.body.size) replace_beginning(authorise, replaced, text);
  CALLBACK(http_clear_route_cache)(authorise->filter.envoy);
  request_routes(authorise->request);
  CALLBACK(http_filter_continue_decoding)(authorise->filter.envoy);  // the stream may be gone after this
  request_routes(NULL);
  return true;
}

static void answered(struct authorise *authorise, struct pending_check *check) {
  struct reply reply = pending_check_reply(check);
  envoy_filter envoy = authorise->filter.envoy;
  bool whole = authorise->phase == WHOLE_CHECK;
  check_give_back(authorise);
  if (!whole && reply.status == 100 && reply.head.size) {
    check_admit(authorise, reply.head);
  } else if (whole && reply.status == 200 && route(authorise, reply, check)) {
    return;
  } else if (reply.status >= 400 && reply.status < 600) {
    authorise->phase = DECIDED;
    refusal_pass_on(envoy, reply);
  } else if (whole && reply.status == 201) {
    authorise->phase = DECIDED;
    cached_pass_on(envoy, reply);
  } else {
    if (whole) check_end(authorise);
    check_refuse(authorise, REFUSAL_UNAVAILABLE);
  }
}

// The request waits for a place. Its key is known, so its body no longer counts as held for strangers.
static void queued(struct authorise *authorise) {
  struct buffer account = {0};
  if (authorise->phase == WHOLE_CHECK && authorise->check && pending_check_queued(authorise->check, &account)) {
    check_give_back(authorise);
    if (!authorise->account) authorise->account = account_open(buffer_span(&account));
    if (!check_hold(authorise, check_buffered(authorise) + STREAM_WEIGHT)) {
      pending_check_drop(authorise->check);
      authorise->check = NULL;
      check_end(authorise);
    }
  }
  buffer_free(&account);
}

// An operator ends the request.
static void cancelled(struct authorise *authorise) {
  if (!authorise->request->live.scheduler || authorise->request->cancelled) return;
  authorise->request->cancelled = true;
  refusal_cancel(authorise->filter.envoy, authorise->answering);
}

static void scheduled(struct filter *filter, uint64_t event) {
  struct authorise *authorise = of(filter);
  if (event != ANSWERED) {
    if (event == LOOK) check_head(authorise);
    if (event == QUEUED) queued(authorise);
    if (event == CANCELLED) cancelled(authorise);
    if (event == FLUSH) connection_flush();
    return;
  }
  struct pending_check *check = authorise->check;
  if (!check) return;
  authorise->check = NULL;
  // The request may have been refused meanwhile because of its body.
  if (authorise->phase != DECIDED) answered(authorise, check);
  // The stream, and the filter with it, may be gone by now.
  pending_check_drop(check);
}

// Returns whether the answer is Envoy's own, which only says that nothing can be reached. A target's 503 has another
// status here.
static bool is_mute(const struct authorise *authorise) {
  const struct request *request = authorise->request;
  if (request->limited || request->outcome.gone) return true;
  return request->outcome.bound &&
         span_is(header_get(authorise->filter.envoy, RESPONSE_HEADERS, SPAN(":status")), SPAN("503"));
}

// Tells the client why nothing can be reached, and when to come back.
static void answer_instead(struct authorise *authorise) {
  struct word word = last_word(&authorise->request->outcome);
  refusal_replace_headers(authorise->filter.envoy, &word);
  authorise->instead = word.body;
}

static enum headers_status response_headers(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  if (!authorise->request) return HEADERS_CONTINUE;
  authorise->answering = true;
  if (is_mute(authorise)) answer_instead(authorise);
  request_restore_status(authorise->request, filter->envoy);
  headers_set(filter->envoy, RESPONSE_HEADERS, authorise->request->client_headers);
  copy_headers(&authorise->copy, filter->envoy, last);
  return HEADERS_CONTINUE;
}

static void end_copy(struct authorise *authorise, bool whole) {
  copy_end(&authorise->copy, whole, authorise->request, authorise->settings->lanes, authorise->number);
}

static enum body_status response_body(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  if (authorise->instead.data) {
    body_replace(filter->envoy, RECEIVED_RESPONSE, authorise->instead);
    authorise->instead.size = 0;
  }
  copy_body(&authorise->copy, filter->envoy);
  if (last) end_copy(authorise, true);
  return BODY_CONTINUE;
}

static enum trailers_status response_trailers(struct filter *filter) {
  end_copy(of(filter), true);
  return TRAILERS_CONTINUE;
}

static void complete(struct filter *filter) {
  struct authorise *authorise = of(filter);
  end_copy(authorise, false);
  if (authorise->counted) check_end(authorise);
  if (!authorise->request) return;
  live_end(&authorise->request->live);
  request_log(authorise->request, filter->envoy);
}

static void destroy(struct filter *filter) {
  struct authorise *authorise = of(filter);
  bool whole = authorise->phase == WHOLE_CHECK;
  bool asked = authorise->check && pending_check_drop(authorise->check);
  end_copy(authorise, false);
  if (authorise->counted || (asked && whole)) check_end(authorise);
  if (authorise->look) CALLBACK(http_filter_scheduler_delete)(authorise->look);
  if (authorise->request) {
    live_end(&authorise->request->live);
    request_release(authorise->request);
  }
  check_give_back(authorise);
  if (authorise->account) {
    account_give(authorise->account, authorise->held);
    account_close(authorise->account);
  }
  free(authorise);
}

const struct filter_kind authorise_filter = {
    .configure = configure,
    .unconfigure = unconfigure,
    .new = new,
    .request_headers = check_request_headers,
    .request_body = check_request_body,
    .request_trailers = check_request_trailers,
    .response_headers = response_headers,
    .response_body = response_body,
    .response_trailers = response_trailers,
    .scheduled = scheduled,
    .complete = complete,
    .destroy = destroy,
};
