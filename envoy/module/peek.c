#include "peek.h"

#include <string.h>

static bool is_space(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

static size_t skip_space(struct span text, size_t at) {
  while (at < text.size && is_space(text.data[at])) at++;
  return at;
}

// Returns the offset after the string that begins at `at`; text.size + 1 if its end is missing.
static size_t skip_string(struct span text, size_t at) {
  for (at++; at < text.size; at++) {
    if (text.data[at] == '"') return at + 1;
    if (text.data[at] == '\\') at++;
  }
  return text.size + 1;
}

// Returns the offset after the value that begins at `at`; text.size + 1 if its end is missing.
static size_t skip_value(struct span text, size_t at) {
  if (at >= text.size) return text.size + 1;
  if (text.data[at] == '"') return skip_string(text, at);
  size_t depth = 0;
  while (at < text.size) {
    char byte = text.data[at];
    if (byte == '"') {
      at = skip_string(text, at);
      continue;
    }
    if (depth == 0 && (byte == ',' || byte == '}' || is_space(byte))) return at;
    at++;
    if (byte == '{' || byte == '[') depth++;
    if ((byte == '}' || byte == ']') && --depth == 0) return at;
  }
  return text.size + 1;
}

// Returns whether a complete value has content: it is not null, false, "", [] or {}.
static bool says_something(struct span value) {
  if (!value.size || value.data[0] == 'n' || value.data[0] == 'f') return false;
  size_t inside = skip_space(value, 1);
  bool bracket = value.data[0] == '[' || value.data[0] == '{' || value.data[0] == '"';
  return !bracket || inside + 1 < value.size;
}

static bool is_one_of(struct span name, const struct span *names, size_t count) {
  for (size_t at = 0; at < count; at++) {
    if (span_is(name, names[at])) return true;
  }
  return false;
}

// Members that only an answer has, and members of an error. For "object" and "type", the value decides.
static const struct span ANSWERS[] = {
    SPAN("choices"), SPAN("data"),       SPAN("output"),   SPAN("results"),    SPAN("text"),     SPAN("embedding"),
    SPAN("content"), SPAN("embeddings"), SPAN("segments"), SPAN("candidates"), SPAN("response"), SPAN("result"),
    SPAN("images"),  SPAN("scores"),     SPAN("audio"),    SPAN("outputs"),    SPAN("vectors")};
static const struct span ERRORS[] = {SPAN("error"), SPAN("errors")};
static const struct span KINDS[] = {SPAN("object"), SPAN("type")};
// Members in which frameworks and providers state an error, of an object that has nothing of an answer.
static const struct span REASONS[] = {SPAN("detail"),     SPAN("message"),       SPAN("msg"),       SPAN("error_msg"),
                                      SPAN("error_code"), SPAN("error_message"), SPAN("errorCode"), SPAN("base_resp"),
                                      SPAN("errMsg"),     SPAN("fault"),         SPAN("Message")};
#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

// Returns whether the value has a `status_code` of 0, by which MiniMax states success.
static bool is_success(struct span value) {
  static const struct span CODE = SPAN("\"status_code\"");
  ptrdiff_t found = span_find(value, CODE, 0);
  if (found < 0) return false;
  size_t at = skip_space(value, (size_t)found + CODE.size);
  at = at < value.size && value.data[at] == ':' ? skip_space(value, at + 1) : value.size;
  return at + 1 < value.size && value.data[at] == '0' && (value.data[at + 1] < '0' || value.data[at + 1] > '9');
}

// Judges the object at the beginning of `text`.
static enum peek peek_object(struct span text, bool whole) {
  enum peek open = whole ? PEEK_ANSWER : PEEK_MORE;  // an incomplete text is not judged
  bool error = false, reason = false, answer = false;
  size_t at = 1;
  for (;;) {
    at = skip_space(text, at);
    if (at >= text.size) return open;
    if (text.data[at] == '}') return error || (reason && !answer) ? PEEK_ERROR : PEEK_ANSWER;
    if (text.data[at] == ',') {
      at++;
      continue;
    }
    if (text.data[at] != '"') return PEEK_ANSWER;  // not JSON
    size_t end = skip_string(text, at);
    if (end > text.size) return open;
    struct span name = span_between(text, at + 1, end - 1);
    at = skip_space(text, end);
    if (at >= text.size) return open;
    if (text.data[at] != ':') return PEEK_ANSWER;
    at = skip_space(text, at + 1);
    if (at >= text.size) return open;
    // Values of answers are long: their first bytes suffice.
    if (IS_ONE_OF(name, ANSWERS)) {
      bool bracket = text.data[at] == '[' || text.data[at] == '{' || text.data[at] == '"';
      size_t inside = bracket ? skip_space(text, at + 1) : at;
      if (inside >= text.size) return open;
      char first = text.data[inside];
      bool empty = bracket ? first == ']' || first == '}' || first == '"' : first == 'n';
      if (!empty) return PEEK_ANSWER;
      answer = answer || bracket;
    }
    end = skip_value(text, at);
    if (end > text.size) return open;
    struct span value = span_between(text, at, end);
    if (IS_ONE_OF(name, ERRORS) && says_something(value)) error = true;
    if (IS_ONE_OF(name, REASONS) && says_something(value)) {
      // An answer of Cohere is an object called `message`.
      bool fine = span_is(name, SPAN("message")) ? value.data[0] == '{' : is_success(value);
      reason = reason || !fine;
      answer = answer || fine;
    }
    if (IS_ONE_OF(name, KINDS) && value.size && value.data[0] == '"') {
      if (span_is(value, SPAN("\"error\""))) {
        error = true;
      } else if (span_is(name, SPAN("object"))) {
        return PEEK_ANSWER;
      }
    }
    at = end;
  }
}

static const struct span MARK = SPAN("\xEF\xBB\xBF");  // the byte order mark of UTF-8

enum peek peek_json(struct span text, bool whole) {
  if (!whole && text.size < MARK.size && span_begins(MARK, text)) return PEEK_MORE;
  size_t start = skip_space(text, span_begins(text, MARK) ? MARK.size : 0);
  // Gemini's errors stand in a list.
  if (start < text.size && text.data[start] == '[') {
    size_t first = skip_space(text, start + 1);
    if (first == text.size || text.data[first] == '{') start = first;
  }
  if (start == text.size) return whole ? PEEK_ERROR : text.size < LONGEST_PEEK ? PEEK_MORE : PEEK_ANSWER;
  if (text.data[start] == '<') return PEEK_ERROR;  // a page or XML, whatever its content type
  if (text.data[start] != '{') return PEEK_ANSWER;
  enum peek found = peek_object(span_from(text, start), whole);
  return found == PEEK_MORE && text.size >= LONGEST_PEEK ? PEEK_ANSWER : found;
}

struct span peek_object_of(struct span text) {
  const char *start = text.size ? memchr(text.data, '{', text.size) : NULL;
  if (!start) return NO_SPAN;
  struct span object = span_from(text, (size_t)(start - text.data));
  size_t end = skip_value(object, 0);
  return end <= object.size ? span_between(object, 0, end) : object;
}

static const struct span DATA = SPAN("data:"), EVENT = SPAN("event:"), ERROR = SPAN("error:");

// Takes off a line, which ends as in answers.c. `ended` says that its end is there.
static struct span next_line(struct span *text, bool *ended) {
  size_t end = 0;
  while (end < text->size && text->data[end] != '\n' && text->data[end] != '\r') end++;
  struct span line = span_between(*text, 0, end);
  *ended = end < text->size;
  if (*ended) end += text->data[end] == '\r' && end + 1 < text->size && text->data[end + 1] == '\n' ? 2 : 1;
  *text = span_from(*text, end);
  return line;
}

static struct span without_mark(struct span text) {
  return span_begins(text, MARK) ? span_from(text, MARK.size) : text;
}

enum form peek_form(struct span text, bool whole) {
  static const struct span FIELDS[] = {SPAN("data:"),  SPAN("event:"), SPAN("id:"),
                                       SPAN("retry:"), SPAN("error:"), SPAN(":")};
  size_t start = skip_space(text, span_begins(text, MARK) ? MARK.size : 0);
  struct span rest = span_from(text, start);
  whole = whole || text.size >= LONGEST_PEEK;
  if (!whole && text.size < MARK.size && span_begins(MARK, text)) return FORM_UNCLEAR;
  if (rest.size && (rest.data[0] == '{' || rest.data[0] == '[')) return FORM_JSON;
  for (size_t at = 0; at < sizeof FIELDS / sizeof *FIELDS; at++) {
    if (span_begins(rest, FIELDS[at])) return FORM_EVENTS;
    if (!whole && span_begins(FIELDS[at], rest)) return FORM_UNCLEAR;
  }
  return FORM_OTHER;
}

static struct span field_value(struct span line, struct span field) {
  struct span value = span_from(line, field.size);
  while (value.size && is_space(value.data[0])) value = span_from(value, 1);
  while (value.size && is_space(value.data[value.size - 1])) value.size--;
  return value;
}

// Judges a line of the first event, of which `whole` is available; PEEK_MORE if the next line decides. `named` says
// that the event is named an error.
static enum peek peek_line(struct span line, bool whole, bool *named) {
  if (!line.size) return *named ? PEEK_ERROR : PEEK_MORE;
  if (line.data[0] == ':') return PEEK_ANSWER;
  if (line.data[0] == '<' || span_begins(line, ERROR)) return PEEK_ERROR;  // a page; llama.cpp's field for an error
  if (span_begins(line, DATA)) {
    struct span value = field_value(line, DATA);
    if (*named || !value.size) return *named && whole ? PEEK_ERROR : PEEK_MORE;
    return value.data[0] == '{' ? peek_object(value, whole) : PEEK_ANSWER;
  }
  if (!whole || !span_begins(line, EVENT)) return PEEK_MORE;  // half a line, an id, or an unknown field
  *named = span_is(field_value(line, EVENT), SPAN("error"));
  return *named ? PEEK_MORE : PEEK_ANSWER;
}

enum peek peek_events(struct span text, bool whole) {
  bool any = false, named = false;
  if (!whole && text.size < MARK.size && span_begins(MARK, text)) return PEEK_MORE;
  for (struct span rest = without_mark(text); rest.size;) {
    bool ended;
    struct span line = next_line(&rest, &ended);
    any = any || (line.size && !is_space(line.data[0]));
    enum peek found = peek_line(line, ended || whole, &named);
    if (found != PEEK_MORE) return found;
  }
  if (whole || text.size >= LONGEST_PEEK) return named || (whole && !any) ? PEEK_ERROR : PEEK_ANSWER;
  return PEEK_MORE;
}

struct span peek_event_object(struct span text) {
  for (struct span rest = without_mark(text); rest.size;) {
    bool ended;
    struct span line = next_line(&rest, &ended);
    if (!span_begins(line, DATA)) continue;
    struct span value = field_value(line, DATA);
    return value.size && value.data[0] == '{' && skip_value(value, 0) == value.size ? value : NO_SPAN;
  }
  return NO_SPAN;
}

static char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte; }

// Returns the offset of `words`, which are in lower case, in `text` between `from` and `until`, ignoring case.
static size_t find_words(struct span text, const char *words, size_t from, size_t until) {
  size_t size = strlen(words);
  for (size_t at = from; at + size <= text.size && at < until; at++) {
    size_t same = 0;
    while (same < size && lower(text.data[at + same]) == words[same]) same++;
    if (same == size) return at;
  }
  return text.size;
}

static bool has_one_of(struct span text, const char *const *words, size_t count) {
  for (size_t at = 0; at < count; at++) {
    if (find_words(text, words[at], 0, text.size) < text.size) return true;
  }
  return false;
}

bool peek_refused_model(struct span text) {
  // Beside a quote of the request, these have no backslash before their quotes.
  static const char *const WORDS[] = {"\"code\":\"model_not_found\"",     "\"code\": \"model_not_found\"",
                                      "\"type\":\"invalid_model\"",       "\"type\": \"invalid_model\"",
                                      "\"message\":\"model not exist\"",  "\"message\": \"model not exist\"",
                                      " is not a valid model id\"",       "\"code\":\"deploymentnotfound\"",
                                      "\"code\": \"deploymentnotfound\"", "the provided model identifier is invalid"};
  return has_one_of(text, WORDS, sizeof WORDS / sizeof *WORDS);
}

bool peek_unknown_model(struct span text) {
  static const char *const CODES[] = {"model_not_found",      "modelnotfound",         "deploymentnotfound",
                                      "model_not_available",  "no endpoints found",    "\"param\":\"model\"",
                                      "\"param\": \"model\"", "\"message\":\"model: ", "\"message\": \"model: "};
  static const char *const WORDS[] = {"not found", "not exist", "not deployed", "not loaded", "not available"};
  enum { NEAR = 200 };
  if (has_one_of(text, CODES, sizeof CODES / sizeof *CODES)) return true;
  // "model" followed by words that say that it does not exist. In this order, they do not describe an answer or a file.
  for (size_t model = 0; (model = find_words(text, "model", model, text.size)) < text.size; model += 5) {
    for (size_t at = 0; at < sizeof WORDS / sizeof *WORDS; at++) {
      if (find_words(text, WORDS[at], model, model + NEAR) < text.size) return true;
    }
  }
  return find_words(text, "no such model", 0, text.size) < text.size ||
         find_words(text, "unknown model", 0, text.size) < text.size;
}

bool peek_lacks_permission(struct span text) {
  return find_words(text, "permission", 0, text.size) < text.size ||
         find_words(text, "scope", 0, text.size) < text.size;
}
