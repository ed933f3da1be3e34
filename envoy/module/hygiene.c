#include "hygiene.h"

#include <string.h>
#include <time.h>

#include "headers.h"
#include "redact.h"

enum { LONGEST_ID = 128, LONGEST_RETRY_AFTER = 8, LONGEST_RETRY_AFTER_MS = 11, LONGEST_WAIT = 60 };

// The headers that pass. Envoy adds date, server and the gateway's own.
enum kept {
  STATUS,
  CONTENT_TYPE,
  CONTENT_LENGTH,
  CONTENT_ENCODING,
  RETRY_AFTER,
  RETRY_AFTER_MS,
  SHOULD_RETRY,
  CACHE_CONTROL,
  CONTENT_DISPOSITION,
  PROCESSING_MS,
  VERSION,
  KEPT_COUNT
};

static const struct span KEPT[KEPT_COUNT] = {
    [STATUS] = SPAN(":status"),
    [CONTENT_TYPE] = SPAN("content-type"),
    [CONTENT_LENGTH] = SPAN("content-length"),
    [CONTENT_ENCODING] = SPAN("content-encoding"),
    [RETRY_AFTER] = SPAN("retry-after"),
    [RETRY_AFTER_MS] = SPAN("retry-after-ms"),
    [SHOULD_RETRY] = SPAN("x-should-retry"),
    [CACHE_CONTROL] = SPAN("cache-control"),
    [CONTENT_DISPOSITION] = SPAN("content-disposition"),
    [PROCESSING_MS] = SPAN("openai-processing-ms"),
    [VERSION] = SPAN("openai-version"),
};
// The target's id of the request, by the names that well-known providers use; the first one counts.
static const struct span IDS[] = {SPAN("x-request-id"),     SPAN("request-id"),      SPAN("x-amzn-requestid"),
                                  SPAN("apim-request-id"),  SPAN("x-ms-request-id"), SPAN("x-goog-request-id"),
                                  SPAN("x-amz-request-id"), SPAN("cf-ray")};
enum { ID_COUNT = sizeof IDS / sizeof *IDS };

// Returns the index of `name`; `count` if it is missing.
static size_t index_of(struct span name, const struct span *names, size_t count) {
  size_t at = 0;
  while (at < count && !span_is(name, names[at])) at++;
  return at;
}

// The changes to the headers, collected first because a change invalidates what Envoy returned.
struct changes {
  struct buffer replaced;  // lines of `name:value`
  struct buffer removed;   // lines with a name each
};

static void add_line(struct buffer *lines, struct span text) {
  buffer_add(lines, text);
  buffer_add(lines, SPAN("\n"));
}

static void replace(struct changes *changes, struct span name, struct span value) {
  buffer_add(&changes->replaced, name);
  buffer_add(&changes->replaced, SPAN(":"));
  add_line(&changes->replaced, value);
}

static void apply(envoy_filter envoy, int type, struct changes *changes) {
  for (struct span rest = buffer_span(&changes->replaced); rest.size;) {
    struct span value = span_next(&rest, '\n'), name = span_next(&value, ':');
    header_set(envoy, type, name, value);
  }
  for (struct span rest = buffer_span(&changes->removed); rest.size;) {
    header_remove(envoy, type, span_next(&rest, '\n'));
  }
  buffer_free(&changes->removed);
  buffer_free(&changes->replaced);
}

static bool is_visible(char byte) { return byte > ' ' && byte < 0x7F; }

static bool has_visible(struct span text) {
  size_t at = 0;
  while (at < text.size && !is_visible(text.data[at])) at++;
  return at < text.size;
}

static void keep_visible(struct span text, struct buffer *into) {
  into->size = 0;
  for (size_t at = 0; at < text.size && into->size < LONGEST_ID; at++) {
    if (is_visible(text.data[at])) buffer_add(into, span_between(text, at, at + 1));
  }
}

// Returns whether the secret was in `text`, and writes it to `clean` without it.
static bool take_out(struct span secret, struct span text, struct buffer *clean) {
  if (!secret.size || text.size < secret.size) return false;
  struct redactor redactor = redactor_of(secret);
  bool found = redact(&redactor, text, true, clean);
  redactor_free(&redactor);
  return found;
}

static bool is_page(struct span kind) {
  return span_begins_any_case(kind, SPAN("text/html")) || span_begins_any_case(kind, SPAN("application/xhtml"));
}

static void keep_text(struct span text, char *into, size_t room) {
  if (text.size >= room) text.size = 0;
  if (text.size) memcpy(into, text.data, text.size);
  into[text.size] = 0;
}

// Returns whether `cache-control` forbids caches between client and gateway to give the answer to others.
static bool forbids_sharing(struct span text) {
  static const struct span WORDS[] = {SPAN("no-store"), SPAN("no-cache"), SPAN("private")};
  for (size_t at = 0; at < text.size; at++) {
    for (size_t word = 0; word < sizeof WORDS / sizeof *WORDS; word++) {
      if (span_begins_any_case(span_from(text, at), WORDS[word])) return true;
    }
  }
  return false;
}

// Reads the `values`. Returns whether `retry-after` is not a number of seconds.
static bool read_head(struct span *values, struct head *head) {
  uint64_t number;
  struct span coding = values[CONTENT_ENCODING], after = values[RETRY_AFTER];
  bool seconds = after.size <= LONGEST_RETRY_AFTER && span_number(after, &number);
  head->status = span_number(values[STATUS], &number) ? (unsigned)number : 0;
  head->page = is_page(values[CONTENT_TYPE]);
  head->empty = span_is(values[CONTENT_LENGTH], SPAN("0"));
  head->encoded = !answer_is_plain(coding);
  head->kind = answer_kind(values[CONTENT_TYPE]);
  keep_text(span_next(&coding, ','), head->coding, sizeof head->coding);
  keep_text(seconds ? after : NO_SPAN, head->retry_after, sizeof head->retry_after);
  return after.size && !seconds;
}

struct span worth_waiting(uint64_t seconds) { return seconds <= LONGEST_WAIT ? SPAN("true") : SPAN("false"); }

// Adds the headers for clients that follow from `after` (seconds, or empty) unless the target sent them, and removes
// those that clients do not know.
static void complete_advice(const struct span *values, struct span after, struct changes *changes) {
  struct span milliseconds = values[RETRY_AFTER_MS], again = values[SHOULD_RETRY];
  uint64_t seconds = 0, number;
  bool waits = span_number(after, &seconds);
  if (milliseconds.size > LONGEST_RETRY_AFTER_MS || !span_number(milliseconds, &number)) {
    if (waits) {
      struct buffer text = {0};
      buffer_add_number(&text, seconds * 1000);
      replace(changes, KEPT[RETRY_AFTER_MS], buffer_span(&text));
      buffer_free(&text);
    } else if (milliseconds.data) {
      add_line(&changes->removed, KEPT[RETRY_AFTER_MS]);
    }
  }
  if (span_is(again, SPAN("true")) || span_is(again, SPAN("false"))) return;
  if (waits) {
    replace(changes, KEPT[SHOULD_RETRY], worth_waiting(seconds));
  } else if (again.data) {
    add_line(&changes->removed, KEPT[SHOULD_RETRY]);
  }
}

// Reads when the target may be asked again, and translates it into headers that clients know. Returns whether it did.
static bool read_advice(const struct header_list *list, struct need need, struct head *head, const struct span *values,
                        struct changes *changes) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  if (head->status == 429) need = (struct need){1, 1};
  head->advice = advice_of(list->all, list->count, need, unix_ms);
  if (head->status != 429 || !head->advice.wait_ms || head->retry_after[0] || values[RETRY_AFTER_MS].data) return false;
  struct buffer seconds = {0};
  buffer_add_number(&seconds, (head->advice.wait_ms + 999) / 1000);
  keep_text(buffer_span(&seconds), head->retry_after, sizeof head->retry_after);
  replace(changes, KEPT[RETRY_AFTER], buffer_span(&seconds));
  buffer_free(&seconds);
  return true;
}

void clean_headers(envoy_filter envoy, struct span secret, struct need need, struct buffer *id, struct head *head) {
  struct header_list list;
  struct changes changes = {0};
  struct buffer clean = {0};
  struct span values[KEPT_COUNT] = {0}, target_id = NO_SPAN;
  size_t best = ID_COUNT;
  header_list(envoy, RESPONSE_HEADERS, &list); // all at once: a single header costs Envoy nearly as much
  for (size_t at = 0; at < list.count; at++) {
    struct header header = list.all[at];
    size_t kept = index_of(header.key, KEPT, KEPT_COUNT);
    if (kept == KEPT_COUNT) {
      size_t found = index_of(header.key, IDS, best);
      if (found < best && has_visible(header.value)) {
        best = found;
        target_id = header.value;
      }
      if (advice_is_of_quota(header.key)) head->has_quota = true;
      add_line(&changes.removed, header.key);
      continue;
    }
    bool repeated = values[kept].data != NULL;  // readers disagree about which one counts, so the first passes alone
    if (!repeated) values[kept] = header.value;
    bool quoted = kept != STATUS && take_out(secret, values[kept], &clean);
    if (quoted || repeated) replace(&changes, header.key, quoted ? buffer_span(&clean) : values[kept]);
    clean.size = 0;
  }
  bool useless = read_head(values, head);
  bool advised = head->status == 429 || head->has_quota;
  if (advised && read_advice(&list, need, head, values, &changes)) useless = false;
  if (useless) add_line(&changes.removed, KEPT[RETRY_AFTER]);
  struct span control = values[CACHE_CONTROL];
  if (control.data && !forbids_sharing(control)) add_line(&changes.removed, KEPT[CACHE_CONTROL]);
  complete_advice(values, (struct span){head->retry_after, strlen(head->retry_after)}, &changes);
  keep_visible(target_id, id);
  header_list_free(&list);
  apply(envoy, RESPONSE_HEADERS, &changes);
  if (take_out(secret, buffer_span(id), &clean)) {
    id->size = 0;
    buffer_add(id, buffer_span(&clean));
  }
  buffer_free(&clean);
}

void clean_trailers(envoy_filter envoy) {
  struct header_list list;
  struct changes changes = {0};
  header_list(envoy, RESPONSE_TRAILERS, &list);
  for (size_t at = 0; at < list.count; at++) add_line(&changes.removed, list.all[at].key);
  header_list_free(&list);
  apply(envoy, RESPONSE_TRAILERS, &changes);
}
