#include "answers.h"

#include <string.h>
#include <strings.h>

enum {
  // A longer event is not a report of usage and is not held.
  LONGEST_EVENT = 1 << 20,
};

static const struct span FIELD = SPAN("data:"), DONE = SPAN("[DONE]"), MARK = SPAN("\xEF\xBB\xBF");

static bool is_kind(struct span kind, struct span name) {
  return kind.size == name.size && strncasecmp(kind.data, name.data, name.size) == 0;
}

static struct span trimmed(struct span text) {
  while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) text = span_from(text, 1);
  while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) text.size--;
  return text;
}

bool answer_is_plain(struct span coding) {
  coding = trimmed(coding);
  return coding.size == 0 || is_kind(coding, SPAN("identity"));
}

enum answer_kind answer_kind(struct span content_type) {
  static const struct span SUFFIX = SPAN("+json");
  struct span kind = trimmed(span_next(&content_type, ';'));
  if (is_kind(kind, SPAN("text/event-stream"))) return ANSWER_EVENTS;
  bool is_json = kind.size == 0 || is_kind(kind, SPAN("application/json")) || is_kind(kind, SPAN("text/json")) ||
                 (kind.size > SUFFIX.size && is_kind(span_from(kind, kind.size - SUFFIX.size), SUFFIX));
  return is_json ? ANSWER_PLAIN : ANSWER_IGNORED;
}

void answer_plain(struct answer *answer, struct request *request, struct span chunk) {
  if (!answer->seen) scanner_start(&answer->scanner, &request->facts, false);
  answer->seen += chunk.size;
  scanner_read(&answer->scanner, &request->facts, chunk);
}

// The data lines of one event form one text.
static void begin_data(struct answer *answer, struct facts *facts) {
  if (answer->has_data) {
    scanner_read(&answer->scanner, facts, SPAN("\n"));
    return;
  }
  answer->has_data = true;
  answer->matched = 0;
  scanner_start(&answer->scanner, facts, true);
}

static void read_data(struct answer *answer, struct facts *facts, struct span data) {
  for (size_t at = 0; at < data.size && answer->matched < DONE.size && !answer->done; at++) {
    answer->matched = data.data[at] == DONE.data[answer->matched] ? answer->matched + 1 : SIZE_MAX;
    answer->done = answer->matched == DONE.size;
  }
  beginning_read(&answer->beginning, &answer->scanner, facts, data);
}

// Continues to read a line; `part` may or may not contain its end.
static void read_line(struct answer *answer, struct facts *facts, struct span part) {
  for (size_t at = 0; at < part.size;) {
    char byte = part.data[at];
    switch (answer->line) {
      case LINE_EMPTY:
        if (answer->mark < MARK.size && byte == MARK.data[answer->mark]) {
          answer->mark++;
          at++;
        } else if (byte == ':') {
          answer->line = LINE_COMMENT;
          at++;
        } else {
          answer->line = LINE_FIELD;
          answer->field = 0;
        }
        break;
      case LINE_FIELD:
        if (byte != FIELD.data[answer->field]) {
          answer->line = LINE_OTHER;
        } else if (++answer->field == FIELD.size) {
          answer->line = LINE_COLON;
          begin_data(answer, facts);
        }
        at++;
        break;
      case LINE_COLON:
        if (byte == ' ') at++;
        answer->line = LINE_DATA;
        break;
      case LINE_DATA:
        read_data(answer, facts, span_from(part, at));
        return;
      case LINE_COMMENT:
      case LINE_OTHER:
        return;
    }
  }
}

// The next line end of each kind in a chunk, so that no byte is searched twice.
struct line_ends {
  size_t feed, carriage_return;
};

static size_t next_byte(struct span text, size_t from, char byte) {
  const char *found = from < text.size ? memchr(text.data + from, byte, text.size - from) : NULL;
  return found ? (size_t)(found - text.data) : text.size;
}

static size_t next_line_end(struct line_ends *ends, struct span text, size_t at) {
  if (ends->feed < at) ends->feed = next_byte(text, at, '\n');
  if (ends->carriage_return < at) ends->carriage_return = next_byte(text, at, '\r');
  return ends->feed < ends->carriage_return ? ends->feed : ends->carriage_return;
}

// Returns the offset after a line feed at `at` that belongs to the carriage return before.
static size_t skip_feed(struct answer *answer, struct span text, size_t at) {
  if (!answer->returned || at == text.size) return at;
  answer->returned = false;
  return at + (text.data[at] == '\n');
}

// Reads past the empty line that ends the event, with the line ends of the HTML Living Standard, section 9.2.6: "\n",
// "\r\n" or "\r". If it is missing, reads to the end of `text` and `whole` is false.
static size_t read_event(struct answer *answer, struct facts *facts, struct span text, struct line_ends *ends,
                         size_t at, bool *whole) {
  *whole = false;
  while ((at = skip_feed(answer, text, at)) < text.size && !*whole) {
    size_t end = next_line_end(ends, text, at);
    read_line(answer, facts, span_between(text, at, end));
    if (end == text.size) return end;
    *whole = answer->line == LINE_EMPTY;
    answer->line = LINE_EMPTY;
    answer->mark = MARK.size;
    answer->returned = text.data[end] == '\r';
    at = end + 1;
  }
  return at;
}

// Returns whether hiding the event loses nothing that the client would get without the gateway's request for usage.
static bool is_hidden(const struct answer *answer, size_t size) {
  const struct scanner *scanner = &answer->scanner;
  return answer->has_data && scanner->has_report && !scanner->has_content && size <= LONGEST_EVENT;
}

// The replacement of a chunk. Nothing is copied as long as it equals the chunk.
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

// Passes, holds or hides the chunk's part of an event, from `start` to `end`.
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
  answer->passing = !whole && (answer->done || event.size > LONGEST_EVENT);
  answer->hidden = whole && is_hidden(answer, event.size);
  if (whole ? !answer->hidden : answer->passing) {
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
  struct line_ends ends = {next_byte(chunk, 0, '\n'), next_byte(chunk, 0, '\r')};
  answer->seen += chunk.size;
  size_t start = answer->size ? 0 : skip_feed(answer, chunk, 0), end;
  if (start && answer->hidden) {
    replace_from(&passage, 0);
  } else {
    pass(&passage, span_between(chunk, 0, start));
  }
  for (; start < chunk.size; start = end) {
    bool whole;
    end = read_event(answer, &request->facts, chunk, &ends, start, &whole);
    answer->size += end - start;
    if (request->wants_usage) follow_event(answer, &passage, start, end, whole);
    if (!whole) break;
    if (answer->has_data) request->events++;
    if (request->facts.text != answer->text) request->facts.deltas++;
    answer->text = request->facts.text;
    answer->size = 0;
    answer->has_data = answer->passing = answer->done = false;
  }
  request->event_bytes = answer->done ? answer->seen : answer->seen - answer->size;
  live_count(&request->live, request->events, request->event_bytes);
  if (last && answer->held.size) {
    if (!is_hidden(answer, answer->held.size)) pass(&passage, buffer_span(&answer->held));
    answer->held.size = 0;
  }
  return passage.replaced;
}

void answer_free(struct answer *answer) {
  scanner_free(&answer->scanner);
  buffer_free(&answer->held);
}
