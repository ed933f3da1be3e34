#include "answers.h"

#include <ctype.h>
#include <string.h>

// A usage object has a few hundred bytes; more than this is held for no chunk to come.
enum { LONGEST_USAGE = 4096 };

static size_t skip_space(struct span text, size_t at) {
  while (at < text.size && isspace((unsigned char)text.data[at])) at++;
  return at;
}

// Where the object begins that is the value of the key "usage" at `at`; 0 if there is none.
static size_t usage_object(struct span text, size_t at) {
  at = skip_space(text, at + strlen("\"usage\""));
  if (at >= text.size || text.data[at] != ':') return 0;
  at = skip_space(text, at + 1);
  return at < text.size && text.data[at] == '{' ? at : 0;
}

// Where the next key "usage" with an object begins, from `from` on; -1 if nowhere. Inside a JSON string the quotes
// would be escaped, so it is a key and nothing else.
static ptrdiff_t find_usage(struct span text, size_t from) {
  static const struct span KEY = SPAN("\"usage\"");
  ptrdiff_t at = span_find(text, KEY, from);
  while (at >= 0 && !usage_object(text, (size_t)at)) at = span_find(text, KEY, (size_t)at + KEY.size);
  return at;
}

// The object from its brace to the one that closes it; empty while it is not whole. Numbers and nested objects of
// numbers have no strings with braces in them.
static struct span balanced(struct span text, size_t start) {
  size_t depth = 0;
  for (size_t at = start; at < text.size; at++) {
    if (text.data[at] == '{') depth++;
    if (text.data[at] == '}' && --depth == 0) return span_between(text, start, at + 1);
  }
  return NO_SPAN;
}

// The last whole usage object from the key at `at` on counts: some servers report a running total in every event.
static void note_usage(struct request *request, struct span text, ptrdiff_t at) {
  struct span found = NO_SPAN;
  while (at >= 0) {
    struct span object = balanced(text, usage_object(text, (size_t)at));
    if (object.size) found = object;
    at = find_usage(text, (size_t)at + 1);
  }
  if (found.size && found.size <= LONGEST_USAGE) {
    request->reported.size = 0;
    buffer_add(&request->reported, found);
  }
}

void answer_plain(struct answer *answer, struct request *request, struct span chunk, bool last) {
  struct span text = chunk;
  if (answer->held.size) {
    buffer_add(&answer->held, chunk);
    text = buffer_span(&answer->held);
  }
  ptrdiff_t at = find_usage(text, 0);
  if (at >= 0) note_usage(request, text, at);
  if (last) return;
  size_t kept = text.size < LONGEST_USAGE ? text.size : LONGEST_USAGE;
  if (answer->held.size) {
    memmove(answer->held.data, text.data + text.size - kept, kept);
    answer->held.size = kept;
  } else {
    buffer_add(&answer->held, span_from(text, text.size - kept));
  }
}

// "choices" : [ ]
static bool has_no_choices(struct span event) {
  static const struct span KEY = SPAN("\"choices\"");
  for (ptrdiff_t found = span_find(event, KEY, 0); found >= 0; found = span_find(event, KEY, (size_t)found + 1)) {
    size_t at = skip_space(event, (size_t)found + KEY.size);
    if (at >= event.size || event.data[at] != ':') continue;
    at = skip_space(event, at + 1);
    if (at >= event.size || event.data[at] != '[') continue;
    at = skip_space(event, at + 1);
    if (at < event.size && event.data[at] == ']') return true;
  }
  return false;
}

// Whole events without the one that reports usage.
static void add_without_usage(struct buffer *passed, struct span text, struct span delimiter) {
  size_t position = 0;
  while (position < text.size) {
    ptrdiff_t end = span_find(text, delimiter, position);
    size_t next = end < 0 ? text.size : (size_t)end + delimiter.size;
    struct span event = span_between(text, position, next);
    if (find_usage(event, 0) < 0 || !has_no_choices(event)) buffer_add(passed, event);
    position = next;
  }
}

static void find_delimiter(struct answer *answer, struct span text) {
  if (answer->delimiter.size || span_find(text, SPAN("\n"), 0) < 0) return;
  answer->delimiter = span_find(text, SPAN("\r\n"), 0) < 0 ? SPAN("\n\n") : SPAN("\r\n\r\n");
}

// Where what follows the last whole event begins.
static size_t count_events(struct answer *answer, struct request *request, struct span text) {
  size_t position = 0;
  while (answer->delimiter.size) {
    ptrdiff_t end = span_find(text, answer->delimiter, position);
    if (end < 0) break;
    position = (size_t)end + answer->delimiter.size;
    request->events++;
  }
  return position;
}

bool answer_events(struct answer *answer, struct request *request, struct span chunk, struct buffer *passed) {
  bool held = answer->held.size > 0;
  struct span text = chunk;
  if (held) {
    buffer_add(&answer->held, chunk);
    text = buffer_span(&answer->held);
  }
  answer->seen += chunk.size;
  find_delimiter(answer, text);
  ptrdiff_t usage = find_usage(text, 0);
  if (usage >= 0) note_usage(request, text, usage);
  size_t whole = count_events(answer, request, text);
  struct span tail = span_from(text, whole);
  request->event_bytes = answer->seen - tail.size;
  bool replaced = request->asked_for_usage && (usage >= 0 || held || tail.size);
  if (replaced) {
    if (usage >= 0) {
      add_without_usage(passed, span_between(text, 0, whole), answer->delimiter);
    } else {
      buffer_add(passed, span_between(text, 0, whole));
    }
    // `[DONE]` ends the stream and may lack its blank line.
    if (span_begins(tail, SPAN("data: [DONE]"))) {
      buffer_add(passed, tail);
      tail.size = 0;
      request->event_bytes = answer->seen;
    }
  }
  if (held) {
    memmove(answer->held.data, tail.data, tail.size);
    answer->held.size = tail.size;
  } else {
    buffer_add(&answer->held, tail);
  }
  return replaced;
}

void answer_free(struct answer *answer) { buffer_free(&answer->held); }
