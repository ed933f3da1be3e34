#include "answers.h"

#include <string.h>

enum {
  // A usage object has a few hundred bytes.
  LONGEST_USAGE = 4096,
  // An event that is longer is no report of usage; it is not held.
  LONGEST_EVENT = 1 << 20,
};

static bool is_space(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

// Reads on to behind the next key "usage". Inside a JSON string its quotes would be escaped, so it is a key and nothing
// else, or a value, which no colon follows.
static size_t seek_key(struct usage_finder *finder, struct span text, size_t at) {
  static const struct span KEY = SPAN("\"usage\"");
  for (; finder->matched && at < text.size; at++) {
    if (text.data[at] != KEY.data[finder->matched]) {
      finder->matched = 0;  // and only its first byte can begin another one
      break;
    }
    if (++finder->matched == KEY.size) {
      finder->matched = 0;
      finder->place = USAGE_KEY;
      return at + 1;
    }
  }
  ptrdiff_t found = span_find(text, KEY, at);
  if (found >= 0) {
    finder->place = USAGE_KEY;
    return (size_t)found + KEY.size;
  }
  size_t most = text.size - at < KEY.size - 1 ? text.size - at : KEY.size - 1;
  for (size_t size = most; size > 0 && !finder->matched; size--) {
    if (memcmp(text.data + text.size - size, KEY.data, size) == 0) finder->matched = size;
  }
  return text.size;
}

// Reads on to behind the object, or to where it is too long. What is in one belongs to it, whatever its keys are.
static size_t follow_object(struct usage_finder *finder, struct span text, size_t at, struct buffer *reported) {
  struct span rest = span_from(text, at);
  size_t room = LONGEST_USAGE - finder->object.size;
  if (rest.size > room) rest.size = room;
  bool whole = false;
  size_t end = 0;
  while (end < rest.size && !whole) {
    char byte = rest.data[end++];
    if (finder->in_string) {
      finder->in_string = byte != '"' || finder->escaped;
      finder->escaped = byte == '\\' && !finder->escaped;
    } else if (byte == '"') {
      finder->in_string = true;
    } else if (byte == '{') {
      finder->depth++;
    } else if (byte == '}') {
      whole = --finder->depth == 0;
    }
  }
  buffer_add(&finder->object, span_between(rest, 0, end));
  // A report counts tokens; what a client calls "usage" in a schema of its own, which some answers repeat, does not.
  if (whole && span_find(buffer_span(&finder->object), SPAN("_tokens\""), 0) >= 0) {
    // Some servers report a running total in every event: the last one counts.
    reported->size = 0;
    buffer_add(reported, buffer_span(&finder->object));
  }
  if (whole || finder->object.size == LONGEST_USAGE) finder->place = USAGE_SOUGHT;
  return at + end;
}

static void find_usage(struct usage_finder *finder, struct span text, struct buffer *reported) {
  for (size_t at = 0; at < text.size;) {
    char byte = text.data[at];
    if (finder->place == USAGE_SOUGHT) {
      at = seek_key(finder, text, at);
    } else if (finder->place == USAGE_OBJECT) {
      at = follow_object(finder, text, at, reported);
    } else if (is_space(byte)) {
      at++;
    } else if (finder->place == USAGE_KEY && byte == ':') {
      finder->place = USAGE_COLON;
      at++;
    } else if (finder->place == USAGE_COLON && byte == '{') {
      finder->place = USAGE_OBJECT;
      finder->begun = true;
      finder->depth = 0;
      finder->in_string = finder->escaped = false;
      finder->object.size = 0;
    } else {
      finder->place = USAGE_SOUGHT;
    }
  }
}

void answer_plain(struct answer *answer, struct request *request, struct span chunk) {
  find_usage(&answer->usage, chunk, &request->reported);
}

// "choices" : [ ]
static bool has_no_choices(struct span event) {
  static const struct span KEY = SPAN("\"choices\""), REST = SPAN(":[]");
  for (ptrdiff_t found = span_find(event, KEY, 0); found >= 0; found = span_find(event, KEY, (size_t)found + 1)) {
    size_t matched = 0;
    for (size_t at = (size_t)found + KEY.size; at < event.size; at++) {
      if (is_space(event.data[at])) continue;
      if (event.data[at] != REST.data[matched]) break;
      if (++matched == REST.size) return true;
    }
  }
  return false;
}

static bool is_done(struct span event) { return span_begins(event, SPAN("data: [DONE]")); }

static bool is_hidden(const struct answer *answer, struct span event) {
  return answer->usage.begun && event.size <= LONGEST_EVENT && !is_done(event) && has_no_choices(event);
}

// Reads on to behind the empty line that ends the event (HTML Living Standard, section 9.2.6, of its line ends those
// that are in use); to the end of `text` if it is not there, and then it is not `whole`.
static size_t read_event(struct answer *answer, struct span text, size_t at, bool *whole) {
  *whole = false;
  while (at < text.size && !*whole) {
    const char *feed = memchr(text.data + at, '\n', text.size - at);
    size_t end = feed ? (size_t)(feed - text.data) : text.size;
    if (end > at && answer->line != LINE_COMMENT) {
      bool first = answer->line == LINE_EMPTY;
      bool is_return = first && end - at == 1 && text.data[at] == '\r';
      bool is_comment = first && text.data[at] == ':';
      answer->line = is_return ? LINE_RETURN : is_comment ? LINE_COMMENT : LINE_TEXT;
    }
    if (!feed) return text.size;
    *whole = answer->line == LINE_EMPTY || answer->line == LINE_RETURN;
    if (answer->line == LINE_TEXT) answer->has_text = true;
    answer->line = LINE_EMPTY;
    at = end + 1;
  }
  return at;
}

// What is passed instead of a chunk. As long as it would be the same, nothing is copied.
struct passage {
  struct span chunk;
  struct buffer *passed;
  bool replaced;
};

static void replace_from(struct passage *passage, size_t start) {
  if (!passage->replaced) buffer_add(passage->passed, span_between(passage->chunk, 0, start));
  passage->replaced = true;
}

static void pass(const struct passage *passage, struct span text) {
  if (passage->replaced) buffer_add(passage->passed, text);
}

// Passes, holds or hides what the chunk has of an event, from `start` to `end`.
static void follow_event(struct answer *answer, struct passage *passage, size_t start, size_t end, bool whole) {
  struct span event = span_between(passage->chunk, start, end);
  if (answer->passing) {
    pass(passage, event);
    return;
  }
  if (answer->held.size) {
    buffer_add(&answer->held, event);
    event = buffer_span(&answer->held);
  }
  // `[DONE]` ends the stream and may lack its empty line.
  answer->done = !whole && is_done(event);
  answer->passing = answer->done || (!whole && event.size > LONGEST_EVENT);
  if (whole ? !is_hidden(answer, event) : answer->passing) {
    pass(passage, event);
  } else {
    replace_from(passage, start);
    if (!whole && !answer->held.size) buffer_add(&answer->held, event);
  }
  if (whole || answer->passing) answer->held.size = 0;
}

bool answer_events(struct answer *answer, struct request *request, struct span chunk, bool last,
                   struct buffer *passed) {
  struct passage passage = {.chunk = chunk, .passed = passed, .replaced = answer->held.size > 0};
  answer->seen += chunk.size;
  for (size_t start = 0, end; start < chunk.size; start = end) {
    bool whole;
    end = read_event(answer, chunk, start, &whole);
    find_usage(&answer->usage, span_between(chunk, start, end), &request->reported);
    answer->size += end - start;
    if (request->asked_for_usage) follow_event(answer, &passage, start, end, whole);
    if (!whole) break;
    if (answer->has_text) request->events++;
    answer->size = 0;
    answer->has_text = answer->passing = answer->done = false;
    answer->usage.place = USAGE_SOUGHT;
    answer->usage.matched = 0;
    answer->usage.begun = false;
  }
  request->event_bytes = answer->done ? answer->seen : answer->seen - answer->size;
  if (last && answer->held.size) {
    if (!is_hidden(answer, buffer_span(&answer->held))) pass(&passage, buffer_span(&answer->held));
    answer->held.size = 0;
  }
  return passage.replaced;
}

void answer_free(struct answer *answer) {
  buffer_free(&answer->usage.object);
  buffer_free(&answer->held);
}
