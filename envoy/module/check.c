#include <string.h>

#include "authorise.h"
#include "headers.h"

enum {
  // Bytes up to which a body is awaited without a head check, so that the request costs one check.
  SMALL_BODY = 64 * 1024,
  // Bytes of any other body that are read before its head is checked.
  UNCHECKED_BODY = 16 * 1024,
  // Bytes below which a piece of a body takes more memory than its size: Envoy stores pieces separately, in whole
  // pages.
  SMALL_PIECE = 4 * 1024,
};

static const struct check_events EVENTS = {.answered = ANSWERED, .queued = QUEUED, .flush = FLUSH};

// The headers of a check, in the order of its lines; method and path come first.
static const struct span ASKED[] = {
    SPAN(":method"),         SPAN(":path"),         SPAN("authorization"),         SPAN("x-api-key"),
    SPAN("api-key"),         SPAN("content-type"),  SPAN("content-encoding"),      SPAN("x-request-id"),
    SPAN("x-trunkline-tag"), SPAN("cache-control"), SPAN("x-trunkline-max-price"), SPAN("openai-beta"),
    SPAN("anthropic-beta"),
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

static size_t received(const struct authorise *authorise) {
  return CALLBACK(http_get_body_size)(authorise->filter.envoy, RECEIVED_REQUEST);
}

static void ask(struct authorise *authorise, enum frame_kind kind, bool with_received) {
  envoy_filter envoy = authorise->filter.envoy;
  bool whole = kind == FRAME_WHOLE_CHECK;
  size_t body = whole ? check_buffered(authorise) + (with_received ? received(authorise) : 0) : 0;
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
  authorise->check = connection_send_check(authorise->connection, scheduler, EVENTS, frame);
  if (whole) authorise->number = pending_check_number(authorise->check);
}

void check_end(struct authorise *authorise) {
  authorise->counted = false;
  if (!authorise->id_size) return;
  struct span id = {authorise->id, authorise->id_size};
  connection_end(authorise->connection, authorise->number, id);
}

void check_give_back(struct authorise *authorise) {
  count_give(&held_promised, authorise->promised);
  count_give(&held_unchecked, authorise->unchecked);
  authorise->promised = authorise->unchecked = 0;
}

void check_refuse(struct authorise *authorise, enum refusal refusal) {
  authorise->phase = DECIDED;
  refusal_send(authorise->filter.envoy, refusal);
}

bool check_hold(struct authorise *authorise, uint64_t size) {
  const struct settings *settings = authorise->settings;
  if (size <= authorise->held) return true;
  uint64_t more = size - authorise->held;
  switch (account_take(authorise->account, more, settings->max_of_key, settings->max_in_all)) {
    case ACCOUNT_TAKEN:
      authorise->held = size;
      return true;
    case ACCOUNT_KEY_FULL:
      check_refuse(authorise, REFUSAL_KEY_HOLDS_TOO_MUCH);
      return false;
    case ACCOUNT_ORGANISATION_FULL:
      check_refuse(authorise, REFUSAL_ORGANISATION_HOLDS_TOO_MUCH);
      return false;
    case ACCOUNT_ALL_FULL:
      break;
  }
  check_refuse(authorise, REFUSAL_ALL_HOLD_TOO_MUCH);
  return false;
}

enum headers_status check_request_headers(struct filter *filter, bool last) {
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
  if (received(authorise) >= SMALL_PIECE || check_buffered(authorise) == 0) return;
  struct buffer piece = {0};
  body_copy(envoy, RECEIVED_REQUEST, &piece);
  body_replace(envoy, RECEIVED_REQUEST, NO_SPAN);
  CALLBACK(http_append_body)(envoy, BUFFERED_REQUEST, buffer_span(&piece));
  buffer_free(&piece);
}

enum body_status check_request_body(struct filter *filter, bool last) {
  struct authorise *authorise = of(filter);
  authorise->complete = authorise->complete || last;
  switch (authorise->phase) {
    case WAITING:
      if (check_buffered(authorise) + received(authorise) > authorise->length) {
        check_refuse(authorise, REFUSAL_TOO_LARGE);
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
        check_refuse(authorise, REFUSAL_ALL_HOLD_TOO_MUCH);
        return BODY_STOP_WITHOUT_BUFFER;
      }
      authorise->unchecked += more;
      if (authorise->phase == LOOKING && last && check_buffered(authorise) + more <= authorise->settings->max_body) {
        ask(authorise, FRAME_WHOLE_CHECK, true);
      } else {
        merge(authorise);
      }
      return BODY_STOP_AND_WATERMARK;
    }
    case READING: {
      size_t size = check_buffered(authorise) + received(authorise);
      if (size > authorise->settings->max_body) {
        check_refuse(authorise, REFUSAL_TOO_LARGE);
        return BODY_STOP_WITHOUT_BUFFER;
      }
      if (!check_hold(authorise, size)) return BODY_STOP_WITHOUT_BUFFER;
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

enum trailers_status check_request_trailers(struct filter *filter) {
  struct authorise *authorise = of(filter);
  authorise->complete = true;
  bool may_ask = authorise->phase == WAITING || authorise->phase == LOOKING || authorise->phase == READING;
  if (may_ask) ask(authorise, FRAME_WHOLE_CHECK, false);
  return TRAILERS_STOP;
}

void check_admit(struct authorise *authorise, struct span account) {
  const struct settings *settings = authorise->settings;
  authorise->phase = READING;
  authorise->account = account_open(account);
  uint64_t size = check_buffered(authorise);
  if (size > settings->max_body || authorise->length > settings->max_body) {
    check_refuse(authorise, REFUSAL_TOO_LARGE);
    return;
  }
  if (!check_hold(authorise, authorise->length > size ? authorise->length : size)) return;
  if (authorise->complete) {
    ask(authorise, FRAME_WHOLE_CHECK, false);
  } else {
    CALLBACK(http_set_buffer_limit)(authorise->filter.envoy, settings->max_body);
  }
}

void check_head(struct authorise *authorise) {
  if (authorise->phase == LOOKING) ask(authorise, FRAME_HEAD_CHECK, false);
}
