#include "verdict.h"

#include <stdatomic.h>
#include <string.h>

#include "headers.h"
#include "hosts.h"
#include "pauses.h"
#include "peek.h"
#include "running.h"

static struct attempt *of(struct filter *filter) { return (struct attempt *)filter; }

// Replaces the target's own body by `body`, which is JSON.
static void replace_body(struct attempt *attempt, struct span body) {
  envoy_filter envoy = attempt->filter.envoy;
  header_set(envoy, RESPONSE_HEADERS, SPAN("content-type"), SPAN("application/json"));
  header_set_number(envoy, RESPONSE_HEADERS, SPAN("content-length"), body.size);
  header_remove(envoy, RESPONSE_HEADERS, SPAN("content-encoding"));
  attempt->instead = body;
}

// Shows Envoy a status that says what to do, in place of `status`, which the client gets in the end.
static void show(struct attempt *attempt, unsigned shown, unsigned status) {
  header_set_number(attempt->filter.envoy, RESPONSE_HEADERS, SPAN(":status"), shown);
  attempt->request->status = status;
}

// The answer is a failure; the client gets `status` if it is the last answer.
static void fail(struct attempt *attempt, unsigned status) {
  struct outcome *outcome = &attempt->request->outcome;
  outcome->status = status;
  memcpy(outcome->retry_after, attempt->head.retry_after, sizeof outcome->retry_after);
  // Envoy chooses among machines: one that keeps failing is ejected, so that it is not chosen for a while.
  const struct choice *choice = &attempt->request->choice;
  bool eject = attempt->target.node && choice->others && choice->more && hosts_suspects(attempt->host);
  // A paused target would only repeat its answer; among machines, the second try meets another one.
  bool more = attempt->paused && !attempt->target.node ? choice->elsewhere : choice->more;
  show(attempt, eject ? STATUS_EJECT : more ? STATUS_RETRY : STATUS_FINAL, status);
}

// Logs an unknown model for the operator, once a minute.
static void log_unknown_model(const struct attempt *attempt) {
  enum { EVERY_MS = 60000 };
  static atomic_uint_fast64_t logged;
  uint64_t now = hosts_now(), before = logged;
  if ((before && now - before < EVERY_MS) || !atomic_compare_exchange_strong(&logged, &before, now)) return;
  struct buffer line = {0};
  buffer_add(&line, SPAN("trunkline: the target "));
  buffer_add(&line, attempt->target.id);
  buffer_add(&line, SPAN(" does not know its model; requests go on to the next target"));
  CALLBACK(log)(LOG_WARNING, buffer_span(&line));
  buffer_free(&line);
}

// The answer is valid and passes.
static void serve(struct attempt *attempt) {
  attempt->answered = true;
  request_turned_away(attempt->request, false);
  request_served_by(attempt->request, attempt->host);
}

// Returns whether a page refuses the request as too long: a proxy before the target has limits of its own. Targets with
// others may serve the request, but it does not count against this one.
static bool is_too_long(const struct head *head) {
  return head->page && (head->status == 400 || head->status == 413 || head->status == 414 || head->status == 431);
}

// The answer is not for the client, at least not as it is.
static void reject(struct attempt *attempt, enum fate fate) {
  struct request *request = attempt->request;
  const struct head *head = &attempt->head;
  struct buffer status = {0};
  buffer_add_number(&status, head->status);
  request_failed(request, buffer_span(&status));
  buffer_free(&status);
  if (request->charge.account) charge_settle(&request->charge, 0, hosts_now());
  attempt->answered = true;
  attempt->answer.kind = ANSWER_IGNORED;
  attempt->paused = pause_after(attempt, fate);
  bool counts = fate == FATE_REFUSED || fate == FATE_FAILED || fate == FATE_IMPROPER;
  if (counts && !attempt->paused && !is_too_long(head)) request_failed_at(request, attempt->host);
  switch (fate) {
    case FATE_REFUSED:
      replace_body(attempt, refused_word(head->status));
      fail(attempt, 502);
      break;
    case FATE_IMPROPER:
      if (!attempt->instead.size) replace_body(attempt, improper_word());
      fail(attempt, 502);
      break;
    case FATE_LIMITED:
      if (choice_busy(&request->choice)) request_turned_away(request, true);
      // fall through
    case FATE_FAILED:
      if (head->page || head->encoded) replace_body(attempt, page_word());
      fail(attempt, head->status);
      break;
    case FATE_UNABLE:
      if (head->page || head->encoded) replace_body(attempt, page_word());
      show(attempt, STATUS_FINAL, head->status);
      break;
    case FATE_SERVED:
    case FATE_CLIENT:
    case FATE_MISSING:
      // Nobody can tell whether a compressed text quotes the gateway's credential.
      if (head->encoded) replace_body(attempt, compressed_word());
      if (head->status >= STATUS_FINAL) show(attempt, STATUS_FINAL, head->status);
      break;
  }
}

// Returns whether the endpoint answers with JSON or events only. Some servers call them something else, or each other.
static bool has_known_forms(const struct request *request) {
  struct span path = request->path;
  return span_begins(path, SPAN("/chat/completions")) || span_begins(path, SPAN("/completions")) ||
         span_begins(path, SPAN("/responses"));
}

// Decides how the answer is read for its cost, and whether its first bytes are examined.
static void follow_as(struct attempt *attempt) {
  const struct head *head = &attempt->head;
  attempt->answer.kind = head->encoded || attempt->request->fetches ? ANSWER_IGNORED : head->kind;
  if (head->encoded) {
    facts_word(&attempt->request->facts, WORD_CODING, (struct span){head->coding, strlen(head->coding)});
  }
  attempt->holds = attempt->answer.kind == ANSWER_EVENTS  ? HELD_EVENTS
                   : attempt->answer.kind == ANSWER_PLAIN ? HELD_JSON
                                                          : HELD_NOTHING;
  attempt->guesses = !head->encoded && !attempt->request->fetches && has_known_forms(attempt->request);
  if (attempt->guesses && !attempt->holds) attempt->holds = HELD_JSON;
}

// Reads the answer as what its first bytes show it to be. Returns false if they are too few for that.
static bool guess(struct attempt *attempt, struct span text, bool last) {
  if (!attempt->guesses) return true;
  enum form form = peek_form(text, last);
  if (form == FORM_UNCLEAR) return false;
  attempt->guesses = false;
  if (form == FORM_OTHER) return true;
  attempt->answer.kind = form == FORM_EVENTS ? ANSWER_EVENTS : ANSWER_PLAIN;
  attempt->holds = form == FORM_EVENTS ? HELD_EVENTS : HELD_JSON;
  return true;
}

// Returns what has to be left of the target's quotas: enough for the requests that it may not have counted yet, and for
// another one like this.
static struct need need_after(struct attempt *attempt) {
  if (attempt->runs) running_end(attempt->host);
  attempt->runs = false;
  if (!running_is_watched()) return (struct need){1, 1};
  uint64_t running = running_count(attempt->host);
  return (struct need){.requests = running ? running : 1, .tokens = request_tokens(attempt->request)};
}

enum headers_status verdict_headers(struct filter *filter, bool last) {
  struct attempt *attempt = of(filter);
  struct request *request = attempt->request;
  envoy_filter envoy = filter->envoy;
  if (!request || attempt->answered) return HEADERS_CONTINUE;
  const struct head *head = &attempt->head;
  clean_headers(envoy, attempt->redactor.secret, need_after(attempt), &request->upstream_id, &attempt->head);
  if (request->upstream_id.size) {
    header_set(envoy, RESPONSE_HEADERS, SPAN("x-trunkline-upstream-request-id"), buffer_span(&request->upstream_id));
  }
  bool empty = last || head->empty;
  enum fate fate = fate_of(head->status, head->page, empty);
  if (!hosts_are_open()) hosts_answered(attempt->host, hosts_now());
  if (head->has_quota) pause_ahead(attempt);
  if (fate == FATE_SERVED) {
    follow_as(attempt);
    if (attempt->holds) return HEADERS_STOP;
    serve(attempt);
  } else if (!empty && (fate == FATE_MISSING || (fate == FATE_CLIENT && head->status == 400))) {
    attempt->holds = HELD_MISSING;
    return HEADERS_STOP;
  } else if (!empty && head->status == 401 && !attempt->target.node) {
    attempt->holds = HELD_UNAUTHORISED;
    return HEADERS_STOP;
  } else {
    reject(attempt, fate);
    if (last && attempt->instead.size) {
      CALLBACK(http_append_body)(envoy, BUFFERED_RESPONSE, attempt->instead);
      attempt->swallows = true;
    }
  }
  return HEADERS_CONTINUE;
}

// The first bytes are an error, or empty.
static void reject_held(struct attempt *attempt) {
  struct span text = buffer_span(&attempt->held);
  struct span object = attempt->holds == HELD_EVENTS ? peek_event_object(text) : peek_object_of(text);
  // The error's own object has a format that clients know, and says more than we could.
  if (object.size) replace_body(attempt, object);
  reject(attempt, FATE_IMPROPER);
}

static void settle_missing(struct attempt *attempt) {
  struct span text = buffer_span(&attempt->held);
  bool refused = attempt->head.status == 400;
  if (refused ? !peek_refused_model(text) : !peek_unknown_model(text)) {
    reject(attempt, refused ? FATE_CLIENT : FATE_MISSING);
    return;
  }
  log_unknown_model(attempt);
  attempt->head.status = 404;  // in the record, a 400 that moves on is a request that was too long
  replace_body(attempt, unknown_model_word());
  reject(attempt, FATE_IMPROPER);
}

// Returns whether an error is held, whose text decides what comes of it.
static bool holds_error(const struct attempt *attempt) {
  return attempt->holds == HELD_MISSING || attempt->holds == HELD_UNAUTHORISED;
}

static void settle_error(struct attempt *attempt) {
  if (attempt->holds == HELD_MISSING) {
    settle_missing(attempt);
    return;
  }
  attempt->limited_to_caller = peek_lacks_permission(buffer_span(&attempt->held));
  reject(attempt, FATE_REFUSED);
}

static enum peek peek(const struct attempt *attempt, struct span text, bool last) {
  return attempt->holds == HELD_EVENTS ? peek_events(text, last) : peek_json(text, last);
}

// The held answer is valid.
static void serve_held(struct attempt *attempt) {
  serve(attempt);
  if (attempt->holds == HELD_EVENTS) {
    attempt->request->streamed = true;
    header_remove(attempt->filter.envoy, RESPONSE_HEADERS, SPAN("content-length"));
  }
  attempt->holds = HELD_NOTHING;
}

// Examines the first piece in place. Returns whether that suffices, as nearly always: then nothing is copied.
static bool settle_at_once(struct attempt *attempt, const struct slices *received, bool last) {
  if (attempt->held.size || holds_error(attempt) || !received->count) return false;
  bool whole = last && received->count == 1;
  if (!guess(attempt, received->all[0], whole)) return false;
  if (peek(attempt, received->all[0], whole) != PEEK_ANSWER) return false;
  serve_held(attempt);
  return true;
}

// Examines the first bytes of the answer. Returns whether it is clear now what it is.
static bool settle(struct attempt *attempt, bool last) {
  struct span text = buffer_span(&attempt->held);
  if (holds_error(attempt)) {
    if (!last && text.size < LONGEST_PEEK) return false;
    settle_error(attempt);
  } else {
    if (!guess(attempt, text, last)) return false;
    enum peek found = peek(attempt, text, last);
    if (found == PEEK_MORE) return false;
    if (found == PEEK_ERROR) {
      reject_held(attempt);
    } else {
      serve_held(attempt);
    }
  }
  attempt->holds = HELD_NOTHING;
  return true;
}

// Tells the translator about a created response, before the client can see its id.
static void report_response_created(const struct attempt *attempt) {
  struct request *request = attempt->request;
  struct span id = buffer_span(&request->facts.id);
  if (id.size && !request->response_created)
    request_response_created(request, id, attempt->target.node ? attempt->target.credential : NO_SPAN);
}

// Processes a piece of the body. Returns whether `passed` replaces it.
static bool pass(struct attempt *attempt, struct span chunk, bool last, struct buffer *passed) {
  if (attempt->swallows) return true;
  if (attempt->instead.size) {
    buffer_add(passed, attempt->instead);
    attempt->swallows = true;
  } else {
    struct buffer followed = {0};
    bool replaced = false;
    if (attempt->answer.kind == ANSWER_PLAIN) answer_plain(&attempt->answer, attempt->request, chunk);
    if (attempt->answer.kind == ANSWER_EVENTS) {
      replaced = answer_events(&attempt->answer, attempt->request, chunk, last, &followed);
    }
    report_response_created(attempt);
    struct span text = replaced ? buffer_span(&followed) : chunk;
    if (redact(&attempt->redactor, text, last, passed)) {
      buffer_free(&followed);
      return true;
    }
    buffer_add(passed, buffer_span(&followed));
    buffer_free(&followed);
    return replaced;
  }
  // The target's own object may quote the credential, like any of its text.
  struct buffer clean = {0};
  struct redactor redactor = redactor_of(attempt->redactor.secret);
  if (redact(&redactor, buffer_span(passed), true, &clean)) {
    buffer_free(passed);
    *passed = clean;
  }
  redactor_free(&redactor);
  return true;
}

// Processes all pieces that were just received; each passes or is replaced.
static void pass_received(struct attempt *attempt, const struct slices *received, bool last) {
  struct buffer all = {0};
  bool replaced = false;
  for (size_t at = 0; at < received->count || (at == 0 && last); at++) {
    struct span slice = at < received->count ? received->all[at] : NO_SPAN;
    struct buffer passed = {0};
    bool changed = pass(attempt, slice, last && at + 1 >= received->count, &passed);
    for (size_t before = 0; changed && !replaced && before < at; before++) buffer_add(&all, received->all[before]);
    replaced = replaced || changed;
    if (replaced) buffer_add(&all, changed ? buffer_span(&passed) : slice);
    buffer_free(&passed);
  }
  if (replaced) body_replace(attempt->filter.envoy, RECEIVED_RESPONSE, buffer_span(&all));
  buffer_free(&all);
}

// Adds what was received to what is held. Returns whether it is clear now what the answer is; then all of it counts as
// just received.
static bool settle_held(struct attempt *attempt, bool last) {
  envoy_filter envoy = attempt->filter.envoy;
  body_copy(envoy, RECEIVED_RESPONSE, &attempt->held);
  bool settled = settle(attempt, last);
  // `instead` may point into the held bytes, which are kept for that.
  body_replace(envoy, RECEIVED_RESPONSE, settled ? buffer_span(&attempt->held) : NO_SPAN);
  if (settled && !attempt->instead.size) buffer_free(&attempt->held);
  return settled;
}

enum body_status verdict_body(struct filter *filter, bool last) {
  struct attempt *attempt = of(filter);
  if (!attempt->request) return BODY_CONTINUE;
  struct slices received;
  body_slices(filter->envoy, RECEIVED_RESPONSE, &received);
  bool settled = true;
  if (attempt->holds && !settle_at_once(attempt, &received, last)) {
    slices_free(&received);
    settled = settle_held(attempt, last);
    body_slices(filter->envoy, RECEIVED_RESPONSE, &received);
  }
  if (settled) pass_received(attempt, &received, last);
  slices_free(&received);
  return settled ? BODY_CONTINUE : BODY_STOP_WITHOUT_BUFFER;
}

enum trailers_status verdict_trailers(struct filter *filter) {
  struct attempt *attempt = of(filter);
  if (!attempt->request) return TRAILERS_CONTINUE;
  clean_trailers(filter->envoy);
  struct span rest = NO_SPAN;
  if (attempt->holds) {
    settle(attempt, true);
    rest = buffer_span(&attempt->held);
  }
  struct buffer passed = {0};
  bool replaced = pass(attempt, rest, true, &passed);
  struct span more = replaced ? buffer_span(&passed) : rest;
  if (more.size) CALLBACK(http_append_body)(filter->envoy, BUFFERED_RESPONSE, more);
  buffer_free(&passed);
  return TRAILERS_CONTINUE;
}
