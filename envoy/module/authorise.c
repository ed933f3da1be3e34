#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "copy.h"
#include "filters.h"
#include "frames.h"
#include "headers.h"
#include "held.h"
#include "refusals.h"
#include "request.h"

enum {
  LONGEST_TIMEOUT_MS = 3600000,
  MOST_BODY = 1 << 30,  // a check's length has 32 bits
  // Bytes up to which a body is awaited without a head check, so that the request costs one check.
  SMALL_BODY = 64 * 1024,
  // Bytes that a request takes in Envoy in addition to its body: even a request that promises one byte costs memory.
  STREAM_WEIGHT = 16 * 1024,
  // Bytes of any other body that are read before its head is checked.
  UNCHECKED_BODY = 16 * 1024,
  // Bytes up to which a body is not counted for its key: the rest of the stream weighs more.
  UNCOUNTED_BODY = 4 * 1024,
  // Bytes below which a piece of a body takes more memory than its size: Envoy stores pieces separately, in whole
  // pages.
  SMALL_PIECE = 4 * 1024,
  LONGEST_ID = 128,
};

struct settings {
  struct connection *lanes[2];     // by enum lane
  uint64_t max_body;         // bytes of one body
  uint64_t max_of_strangers;  // bytes held before their key is checked
  uint64_t max_of_key;       // bytes held for one key
  uint64_t max_in_all;       // bytes held for all keys
};

// The phase of a request.
enum phase {
  WAITING,       // for a small body, to be checked in one check
  LOOKING,       // finding out whether the body is complete with what has been received
  HEAD_CHECK,    // sent; reading stops after a little of the body
  READING,       // the body of a request whose head was checked
  WHOLE_CHECK,   // sent
  DECIDED,       // routed or refused
};

// Events of the stream's scheduler.
enum event { LOOK, ANSWERED, QUEUED, CANCELLED };

struct authorise {
  struct filter filter;
  const struct settings *settings;
  enum phase phase;
  bool complete;              // the body is complete
  uint64_t length;            // of the body, if stated
  uint64_t promised, unchecked;  // bytes counted as held for strangers
  struct account *account;    // of the key, once it is known
  uint64_t held;              // bytes counted in the account
  envoy_scheduler look;
  struct pending_check *check;      // while the translator decides
  struct connection *connection;          // that carried the last check
  struct request *request;    // once the translator has let it through
  uint64_t number;            // of the whole check
  bool counted;               // the translator expects an end notice
  struct copy copy;           // of the answer, if the translator wants one
  size_t id_size;
  char id[LONGEST_ID];        // the request's id, from the whole check on
  struct span instead;        // the replacement of Envoy's answer, if any
  bool answering;             // an answer is being sent to the client
};

// The headers of a check, in the order of its lines; method and path come first.
static const struct span ASKED[] = {
    SPAN(":method"),         SPAN(":path"),         SPAN("authorization"),         SPAN("x-api-key"),
    SPAN("api-key"),         SPAN("content-type"),  SPAN("content-encoding"),      SPAN("x-request-id"),
    SPAN("x-trunkline-tag"), SPAN("cache-control"), SPAN("x-trunkline-max-price"),
};

// Adds all values of a header as one list (RFC 9110 section 5.2).
static void add_values(const struct header_list *headers, struct span name, struct buffer *into) {
  bool more = false;
  for (size_t at = 0; at < headers->count; at++) {
    if (!span_is(headers->all[at].key, name)) continue;
    if (more) buffer_add(into, SPAN(", "));
    buffer_add(into, headers->all[at].value);
    more = true;
  }
}

static void keep_id(struct authorise *authorise, const struct header_list *headers) {
  struct span id = header_of(headers, SPAN("x-request-id"));
  authorise->id_size = id.size <= sizeof authorise->id ? id.size : 0;
  if (authorise->id_size) memcpy(authorise->id, id.data, id.size);
}

static struct authorise *of(struct filter *filter) { return (struct authorise *)filter; }

static size_t buffered(const struct authorise *authorise) {
  return CALLBACK(http_get_body_size)(authorise->filter.envoy, BUFFERED_REQUEST);
}

static size_t received(const struct authorise *authorise) {
  return CALLBACK(http_get_body_size)(authorise->filter.envoy, RECEIVED_REQUEST);
}

static void ask(struct authorise *authorise, enum frame_kind kind, bool with_received) {
  envoy_filter envoy = authorise->filter.envoy;
  bool whole = kind == FRAME_WHOLE_CHECK;
  size_t body = whole ? buffered(authorise) + (with_received ? received(authorise) : 0) : 0;
  struct buffer head = {0}, frame = {0};
  struct header_list headers;
  header_list(envoy, REQUEST_HEADERS, &headers);  // all at once: a single header costs Envoy as much
  for (size_t at = 0; at < sizeof ASKED / sizeof *ASKED; at++) {
    if (at) buffer_add(&head, SPAN("\n"));
    add_values(&headers, ASKED[at], &head);
  }
  if (whole) keep_id(authorise, &headers);
  header_list_free(&headers);
  frame_begin(&frame, kind, buffer_span(&head), body);
  buffer_free(&head);
  if (whole) {
    body_copy(envoy, BUFFERED_REQUEST, &frame);
    if (with_received) body_copy(envoy, RECEIVED_REQUEST, &frame);
  }
  authorise->phase = whole ? WHOLE_CHECK : HEAD_CHECK;
  envoy_scheduler scheduler = CALLBACK(http_filter_scheduler_new)(envoy);
  authorise->connection = authorise->settings->lanes[body > SMALL_BODY ? LANE_LONG : LANE_SHORT];
  authorise->check = connection_send_check(authorise->connection, scheduler, ANSWERED, QUEUED, frame);
  if (whole) authorise->number = pending_check_number(authorise->check);
}

// Sends the end notice: the request is over or its client has left, so its concurrent place is free.
static void tell_end(struct authorise *authorise) {
  authorise->counted = false;
  if (!authorise->id_size) return;
  struct span id = {authorise->id, authorise->id_size};
  connection_end(authorise->connection, authorise->number, id);
}

// Returns the bytes that count as held for strangers.
static void give_back(struct authorise *authorise) {
  count_give(&held_promised, authorise->promised);
  count_give(&held_unchecked, authorise->unchecked);
  authorise->promised = authorise->unchecked = 0;
}

static void refuse(struct authorise *authorise, enum refusal refusal) {
  authorise->phase = DECIDED;
  refusal_send(authorise->filter.envoy, refusal);
}

// Counts `size` bytes in total as held for the key. Returns false if that is too much; then the client has its answer.
static bool hold(struct authorise *authorise, uint64_t size) {
  const struct settings *settings = authorise->settings;
  if (size <= authorise->held) return true;
  uint64_t more = size - authorise->held;
  switch (account_take(authorise->account, more, settings->max_of_key, settings->max_in_all)) {
    case ACCOUNT_TAKEN:
      authorise->held = size;
      return true;
    case ACCOUNT_KEY_FULL:
      refuse(authorise, REFUSAL_KEY_HOLDS_TOO_MUCH);
      return false;
    case ACCOUNT_ALL_FULL:
      break;
  }
  refuse(authorise, REFUSAL_ALL_HOLD_TOO_MUCH);
  return false;
}

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
  if (!sound || timeout_ms < 1 || timeout_ms > LONGEST_TIMEOUT_MS || made.max_body > MOST_BODY) {
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

static enum headers_status request_headers(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  if (last) {
    ask(authorise, FRAME_WHOLE_CHECK, false);
    return HEADERS_STOP;
  }
  uint64_t length;
  bool stated = span_number(header_get(filter->envoy, REQUEST_HEADERS, SPAN("content-length")), &length);
  if (stated) authorise->length = length;
  if (stated && length <= SMALL_BODY && length <= authorise->settings->max_body &&
      count_take(&held_promised, length + STREAM_WEIGHT, authorise->settings->max_of_strangers)) {
    authorise->promised = length + STREAM_WEIGHT;
    CALLBACK(http_set_buffer_limit)(filter->envoy, authorise->settings->max_body);
    return HEADERS_STOP;
  }
  // A short body of unknown length often arrives in the same piece as its head, which Envoy is still reading.
  authorise->phase = LOOKING;
  CALLBACK(http_set_buffer_limit)(filter->envoy, UNCHECKED_BODY);
  authorise->look = CALLBACK(http_filter_scheduler_new)(filter->envoy);
  CALLBACK(http_filter_scheduler_commit)(authorise->look, LOOK);
  return HEADERS_STOP;
}

// Appends a small piece to the buffered body, instead of storing it separately.
static void merge(struct authorise *authorise) {
  envoy_filter envoy = authorise->filter.envoy;
  if (received(authorise) >= SMALL_PIECE || buffered(authorise) == 0) return;
  struct buffer piece = {0};
  body_copy(envoy, RECEIVED_REQUEST, &piece);
  body_replace(envoy, RECEIVED_REQUEST, NO_SPAN);
  CALLBACK(http_append_body)(envoy, BUFFERED_REQUEST, buffer_span(&piece));
  buffer_free(&piece);
}

static enum body_status request_body(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  authorise->complete = authorise->complete || last;
  switch (authorise->phase) {
    case WAITING:
      if (buffered(authorise) + received(authorise) > authorise->length) {
        refuse(authorise, REFUSAL_TOO_LARGE);
        return BODY_STOP_WITHOUT_BUFFER;
      }
      if (last) {
        ask(authorise, FRAME_WHOLE_CHECK, true);
      } else {
        merge(authorise);
      }
      return BODY_STOP_AND_BUFFER;
    case LOOKING:
    case HEAD_CHECK: {
      size_t more = received(authorise);
      if (!count_take(&held_unchecked, more, authorise->settings->max_of_strangers)) {
        refuse(authorise, REFUSAL_ALL_HOLD_TOO_MUCH);
        return BODY_STOP_WITHOUT_BUFFER;
      }
      authorise->unchecked += more;
      if (authorise->phase == LOOKING && last && buffered(authorise) + more <= authorise->settings->max_body) {
        ask(authorise, FRAME_WHOLE_CHECK, true);
      } else {
        merge(authorise);
      }
      return BODY_STOP_AND_WATERMARK;
    }
    case READING: {
      size_t size = buffered(authorise) + received(authorise);
      if (size > authorise->settings->max_body) {
        refuse(authorise, REFUSAL_TOO_LARGE);
        return BODY_STOP_WITHOUT_BUFFER;
      }
      if (!hold(authorise, size)) return BODY_STOP_WITHOUT_BUFFER;
      if (last) {
        ask(authorise, FRAME_WHOLE_CHECK, true);
      } else {
        merge(authorise);
      }
      return BODY_STOP_AND_BUFFER;
    }
    case WHOLE_CHECK:
      return BODY_STOP_AND_BUFFER;
    case DECIDED:
      break;
  }
  return authorise->request ? BODY_CONTINUE : BODY_STOP_WITHOUT_BUFFER;
}

static enum trailers_status request_trailers(struct filter *filter) {
  struct authorise *authorise = of(filter);
  authorise->complete = true;
  bool may_ask = authorise->phase == WAITING || authorise->phase == LOOKING || authorise->phase == READING;
  if (may_ask) ask(authorise, FRAME_WHOLE_CHECK, false);
  return TRAILERS_STOP;
}

// The head may pass: reads the rest of the body, which is counted for the key from now on.
static void admit(struct authorise *authorise, struct span key) {
  const struct settings *settings = authorise->settings;
  authorise->phase = READING;
  authorise->account = account_open(key);
  uint64_t size = buffered(authorise);
  if (size > settings->max_body || authorise->length > settings->max_body) {
    refuse(authorise, REFUSAL_TOO_LARGE);
    return;
  }
  if (!hold(authorise, authorise->length > size ? authorise->length : size)) return;
  if (authorise->complete) {
    ask(authorise, FRAME_WHOLE_CHECK, false);
  } else {
    CALLBACK(http_set_buffer_limit)(authorise->filter.envoy, settings->max_body);
  }
}

// Replaces the first bytes of the body by `text`.
static void begin_otherwise(struct authorise *authorise, size_t replaced, struct span text) {
  envoy_filter envoy = authorise->filter.envoy;
  struct buffer body = {0}, made = {0}, length = {0};
  body_copy(envoy, BUFFERED_REQUEST, &body);
  buffer_add(&made, text);
  buffer_add(&made, span_from(buffer_span(&body), replaced));
  buffer_add_number(&length, made.size);
  body_replace(envoy, BUFFERED_REQUEST, buffer_span(&made));
  header_set(envoy, REQUEST_HEADERS, SPAN("content-length"), buffer_span(&length));
  buffer_free(&body);
  buffer_free(&made);
  buffer_free(&length);
}

// Routes the request, which may pass. Returns false if the answer is invalid.
static bool route(struct authorise *authorise, struct reply reply, struct pending_check *check) {
  struct span head = reply.head, text = NO_SPAN;
  size_t replaced = 0;
  if (reply.body.size && (!reply_beginning(reply.body, &replaced, &text) || replaced > buffered(authorise))) {
    return false;
  }
  struct span end = span_next(&head, '\n'), key = span_next(&head, '\n'), copy = span_next(&head, '\n');
  authorise->request = request_new(head, authorise->filter.envoy);
  if (!authorise->request) return false;
  authorise->request->connection = authorise->connection;
  authorise->request->number = authorise->number;
  authorise->phase = DECIDED;
  authorise->counted = end.size > 0;
  copy_expect(&authorise->copy, copy);
  uint64_t size = buffered(authorise);
  if (!authorise->account && key.size && size > UNCOUNTED_BODY) {
    authorise->account = account_open(key);
    if (!hold(authorise, size)) return true;
  }
  struct span id = {authorise->id, authorise->id_size};
  authorise->request->since = pending_check_asked_ms(check);
  live_begin(&authorise->request->live, id, authorise->request, pending_check_keep_scheduler(check), CANCELLED);
  // If no more of the body was read, the limit is still that of a body whose head is not checked.
  CALLBACK(http_set_buffer_limit)(authorise->filter.envoy, authorise->settings->max_body);
  if (reply.body.size) begin_otherwise(authorise, replaced, text);
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
  give_back(authorise);
  if (!whole && reply.status == 100 && reply.head.size) {
    admit(authorise, reply.head);
  } else if (whole && reply.status == 200 && route(authorise, reply, check)) {
    return;
  } else if (reply.status >= 400 && reply.status < 600) {
    authorise->phase = DECIDED;
    refusal_pass_on(envoy, reply);
  } else if (whole && reply.status == 201) {
    authorise->phase = DECIDED;
    kept_pass_on(envoy, reply);
  } else {
    if (whole) tell_end(authorise);
    refuse(authorise, REFUSAL_UNAVAILABLE);
  }
}

// The request waits for a place. Its key is known, so its body no longer counts as held for strangers.
static void queued(struct authorise *authorise) {
  struct buffer key = {0};
  if (authorise->phase == WHOLE_CHECK && authorise->check && pending_check_queued(authorise->check, &key)) {
    give_back(authorise);
    if (!authorise->account) authorise->account = account_open(buffer_span(&key));
    if (!hold(authorise, buffered(authorise) + STREAM_WEIGHT)) {
      pending_check_drop(authorise->check);
      authorise->check = NULL;
      tell_end(authorise);
    }
  }
  buffer_free(&key);
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
    if (event == LOOK && authorise->phase == LOOKING) ask(authorise, FRAME_HEAD_CHECK, false);
    if (event == QUEUED) queued(authorise);
    if (event == CANCELLED) cancelled(authorise);
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
static void say_last_word(struct authorise *authorise) {
  struct word word = last_word(&authorise->request->outcome);
  refusal_replace_headers(authorise->filter.envoy, &word);
  authorise->instead = word.body;
}

static enum headers_status response_headers(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  if (!authorise->request) return HEADERS_CONTINUE;
  authorise->answering = true;
  if (is_mute(authorise)) say_last_word(authorise);
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
  if (authorise->counted) tell_end(authorise);
  if (!authorise->request) return;
  live_end(&authorise->request->live);
  request_log(authorise->request, filter->envoy);
}

static void destroy(struct filter *filter) {
  struct authorise *authorise = of(filter);
  bool whole = authorise->phase == WHOLE_CHECK;
  bool asked = authorise->check && pending_check_drop(authorise->check);
  end_copy(authorise, false);
  if (authorise->counted || (asked && whole)) tell_end(authorise);
  if (authorise->look) CALLBACK(http_filter_scheduler_delete)(authorise->look);
  if (authorise->request) {
    live_end(&authorise->request->live);
    request_release(authorise->request);
  }
  give_back(authorise);
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
    .request_headers = request_headers,
    .request_body = request_body,
    .request_trailers = request_trailers,
    .response_headers = response_headers,
    .response_body = response_body,
    .response_trailers = response_trailers,
    .scheduled = scheduled,
    .complete = complete,
    .destroy = destroy,
};
