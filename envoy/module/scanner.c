#include "scanner.h"

#include <string.h>

#include "places.h"

static bool is_space(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }

// Returns whether the byte may precede a text: it is white space or part of a byte order mark.
static bool may_precede(char byte) { return is_space(byte) || byte == '\xEF' || byte == '\xBB' || byte == '\xBF'; }

static enum place place_of(const struct scanner *scanner) { return scanner->places[scanner->levels - 1]; }

static bool is_ruled(const struct scanner *scanner, enum action action) {
  return scanner->rule && scanner->rule->action == action;
}

// Returns whether the current value is generated text.
static bool is_generated(const struct scanner *scanner) {
  return is_ruled(scanner, GENERATED) && scanner->state == SCAN_SKIP;
}

static bool is_report(const struct scanner *scanner) {
  return is_ruled(scanner, REPORT) || is_ruled(scanner, CHOICE_REPORT);
}

// Returns whether the current value is kept as written.
static bool is_kept(const struct scanner *scanner) { return is_report(scanner) || is_ruled(scanner, ID); }

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first of eight bytes is the lowest");

// Sets the highest bit of each of the eight bytes that equals `byte`, and possibly of some after the first.
static uint64_t marks_of(uint64_t eight, unsigned char byte) {
  const uint64_t ones = UINT64_MAX / 255;
  uint64_t differing = eight ^ (ones * byte);
  return (differing - ones) & ~differing & (ones * 0x80);
}

// Returns the offset of the next quote or backslash.
static size_t find_string_end(struct span text, size_t at) {
  uint64_t eight;
  for (; text.size - at >= sizeof eight; at += sizeof eight) {
    memcpy(&eight, text.data + at, sizeof eight);
    uint64_t marks = marks_of(eight, '"') | marks_of(eight, '\\');
    if (marks) return at + (size_t)__builtin_ctzll(marks) / 8;
  }
  while (at < text.size && text.data[at] != '"' && text.data[at] != '\\') at++;
  return at;
}

static bool is_structure(char byte) { return byte == '"' || byte == '{' || byte == '}' || byte == '[' || byte == ']'; }

// Returns the offset of the next quote or bracket.
static size_t find_structure(struct span text, size_t at) {
  const uint64_t alike = UINT64_MAX / 255 * 0x26;  // the bits in which [, ], { and } differ, and few others
  uint64_t eight;
  while (text.size - at >= sizeof eight) {
    memcpy(&eight, text.data + at, sizeof eight);
    uint64_t marks = marks_of(eight, '"') | marks_of(eight | alike, 0x7f);
    at += marks ? (size_t)__builtin_ctzll(marks) / 8 : sizeof eight;
    if (!marks) continue;
    if (is_structure(text.data[at])) return at;
    at++;
  }
  while (at < text.size && !is_structure(text.data[at])) at++;
  return at;
}

// Reads past the value, or to the end of `text` if it is incomplete. Adds to `letters` the bytes that its strings have
// as text.
static size_t skip_value(struct scanner *scanner, struct span text, size_t at, bool *whole, uint64_t *letters) {
  *whole = false;
  while (at < text.size && !*whole) {
    if (!scanner->in_string) {
      at = find_structure(text, at);
      if (at == text.size) break;
      char byte = text.data[at++];
      if (byte == '"') {
        scanner->in_string = true;
      } else if (byte == '{' || byte == '[') {
        scanner->depth++;
      } else {
        *whole = --scanner->depth == 0;
      }
    } else if (scanner->escaped) {
      scanner->escaped = false;
      *letters += text.data[at++] == 'u' ? (uint64_t)-1 : 1;  // \uXXXX counts three bytes, as most have in UTF-8
    } else {
      size_t end = find_string_end(text, at);
      *letters += end - at;
      at = end;
      if (at == text.size) break;
      scanner->escaped = text.data[at] == '\\';
      scanner->in_string = scanner->escaped;
      *whole = !scanner->in_string && scanner->depth == 0;
      at++;
    }
  }
  return at;
}

static void enter(struct scanner *scanner, enum place place) {
  scanner->places[scanner->levels++] = (unsigned char)place;
  scanner->state = SCAN_BETWEEN;
  scanner->rule = NULL;
  if (place == CHOICES) scanner->element = 0;
  if (place == CHOICE) scanner->index = scanner->element++;
}

static void leave(struct scanner *scanner, struct facts *facts) {
  if (place_of(scanner) == DATA) facts->has_data = true;
  if (place_of(scanner) == CHOICE && scanner->has_choice_report) {
    facts_choice(facts, scanner->index, buffer_span(&scanner->report));
    scanner->has_choice_report = false;
  }
  scanner->state = --scanner->levels ? SCAN_BETWEEN : SCAN_OVER;
  if (!scanner->levels && scanner->has_image && scanner->is_completed) facts->items++;
}

static void finish_value(struct scanner *scanner) {
  scanner->state = SCAN_BETWEEN;
  scanner->rule = NULL;
}

static void add_to_word(struct scanner *scanner, struct span part) {
  if (part.size > sizeof scanner->word - scanner->word_size) {
    scanner->word_lost = true;
    return;
  }
  memcpy(scanner->word + scanner->word_size, part.data, part.size);
  scanner->word_size += part.size;
}

// Reads past a string's quote, as text of which only ASCII matters.
static size_t read_string(struct scanner *scanner, struct span text, size_t at, bool *whole) {
  *whole = false;
  while (at < text.size) {
    if (!scanner->hex_left && !scanner->escaped) {
      size_t end = find_string_end(text, at);
      add_to_word(scanner, span_between(text, at, end));
      at = end;
      if (at == text.size) break;
    }
    char byte = text.data[at++];
    if (scanner->hex_left) {
      unsigned digit = (unsigned char)byte;
      digit = digit >= '0' && digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
      scanner->code = scanner->code << 4 | (digit & 15);
      if (--scanner->hex_left) continue;
      byte = scanner->code < 0x80 ? (char)scanner->code : '?';
    } else if (scanner->escaped) {
      scanner->escaped = false;
      if (byte == 'u') {
        scanner->hex_left = 4;
        scanner->code = 0;
        continue;
      }
      const char *control = byte ? strchr("bfnrt", byte) : NULL;
      if (control) byte = ' ';
    } else if (byte == '\\') {
      scanner->escaped = true;
      continue;
    } else if (byte == '"') {
      *whole = true;
      return at;
    }
    add_to_word(scanner, (struct span){&byte, 1});
  }
  return at;
}

static void begin_member(struct scanner *scanner, struct span name) {
  scanner->rule = find_rule(place_of(scanner), name, scanner->is_event);
}

// Reads past a key's quote, and finds the rule for its value.
static size_t read_key(struct scanner *scanner, struct span text, size_t at, bool *whole) {
  bool has_begun = scanner->word_size || scanner->word_lost || scanner->escaped || scanner->hex_left;
  size_t end = has_begun ? text.size : find_string_end(text, at);
  if (end < text.size && text.data[end] == '"') {  // nearly always
    *whole = true;
    begin_member(scanner, span_between(text, at, end));
    return end + 1;
  }
  at = read_string(scanner, text, at, whole);
  if (*whole) begin_member(scanner, (struct span){scanner->word, scanner->word_lost ? 0 : scanner->word_size});
  return at;
}

static void begin_word(struct scanner *scanner, enum scan_state state) {
  scanner->state = state;
  scanner->word_size = 0;
  scanner->word_lost = false;
}

// The value of a CONTENT rule says something. In an event, an error says that the stream has failed.
static void note_content(struct scanner *scanner, struct facts *facts) {
  scanner->has_content = true;
  if (scanner->is_event && scanner->rule->what == ERROR_CONTENT) facts->failed = true;
}

// Takes a string, number, true, false or null of which something is kept.
static void take_word(struct scanner *scanner, struct facts *facts, bool is_string) {
  static const struct span COMPLETED = SPAN(".completed");
  struct span word = {scanner->word, scanner->word_size};
  bool is_number = !is_string && word.size && (word.data[0] == '-' || (word.data[0] >= '0' && word.data[0] <= '9'));
  if (!scanner->rule || scanner->word_lost) return;
  switch (scanner->rule->action) {
    case WORD:
      if (is_string || is_number) facts_word(facts, (enum word_kind)scanner->rule->what, word);
      break;
    case INDEX:
      if (is_number) span_number(word, &scanner->index);
      break;
    case TYPE:
      scanner->is_completed =
          word.size > COMPLETED.size && span_is(span_from(word, word.size - COMPLETED.size), COMPLETED);
      break;
    case CONTENT:
      if (!span_is(word, SPAN("null")) && !span_is(word, SPAN("false"))) note_content(scanner, facts);
      break;
    default:
      break;
  }
}

static void begin_kept(struct scanner *scanner, struct span opening) {
  scanner->report.size = 0;
  buffer_add(&scanner->report, opening);
  scanner->report_lost = false;
}

static void begin_container(struct scanner *scanner, char bracket) {
  enum place place = place_of(scanner), element = INSIDE[place].element;
  bool is_object = bracket == '{';
  if (element != NOWHERE && is_object) {
    enter(scanner, element);
  } else if ((is_ruled(scanner, ENTER) && is_object) || (is_ruled(scanner, LIST) && !is_object)) {
    enter(scanner, (enum place)scanner->rule->what);
  } else if (is_ruled(scanner, CONTENT)) {
    scanner->depth = 1;
    scanner->state = SCAN_OPENED;
  } else {
    if (is_report(scanner) && is_object) {
      begin_kept(scanner, SPAN("{"));
      scanner->has_choice_report = false;
      scanner->has_report = true;
    } else if (is_kept(scanner) || (place == TOP && !scanner->is_event)) {
      scanner->rule = NULL;  // `text` may be an object too, with the client's own schema in it
    }
    scanner->depth = 1;
    scanner->state = SCAN_SKIP;
  }
}

// Reads as much of the value, whose first byte is here, as shows what it is.
static size_t begin_value(struct scanner *scanner, struct facts *facts, struct span text, size_t at) {
  enum place place = place_of(scanner);
  char byte = text.data[at];
  if (place == CHOICES) scanner->has_content = true;
  if (place == DATA) facts->items++;
  if (byte == '{' || byte == '[') {
    begin_container(scanner, byte);
    return at + 1;
  }
  if (byte != '"') {
    begin_word(scanner, SCAN_LITERAL);
    return at;
  }
  // An API whose events have types reports usage without being asked, in events that its clients expect.
  if (is_ruled(scanner, TYPE)) scanner->has_content = true;
  if (is_ruled(scanner, WORD) || is_ruled(scanner, TYPE)) {
    begin_word(scanner, SCAN_WORD);
    return at + 1;
  }
  if (is_ruled(scanner, CONTENT)) note_content(scanner, facts);
  if (is_ruled(scanner, IMAGE)) scanner->has_image = true;
  if (is_report(scanner) || (is_ruled(scanner, ID) && !facts->wants_id)) scanner->rule = NULL;
  if (is_ruled(scanner, ID)) begin_kept(scanner, NO_SPAN);
  scanner->depth = 0;
  scanner->in_string = true;
  scanner->state = SCAN_SKIP;
  return at + 1;
}

static size_t read_between(struct scanner *scanner, struct facts *facts, struct span text, size_t at) {
  while (at < text.size && (text.data[at] == ',' || is_space(text.data[at]))) at++;
  if (at == text.size) return at;
  char byte = text.data[at];
  bool is_list = INSIDE[place_of(scanner)].is_list;
  if (byte == (is_list ? ']' : '}')) {
    leave(scanner, facts);
  } else if (is_list && byte != '}' && byte != ':') {
    return begin_value(scanner, facts, text, at);
  } else if (!is_list && byte == '"') {
    begin_word(scanner, SCAN_KEY);
  } else {
    scanner->state = SCAN_OVER;
  }
  return at + 1;
}

static bool is_alphanumeric(char byte) {
  return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

static bool ends_literal(char byte) {
  return is_space(byte) || byte == ',' || byte == '}' || byte == ']' || byte == '"' || byte == '{' || byte == '[' ||
         byte == ':';
}

static size_t read_literal(struct scanner *scanner, struct facts *facts, struct span text, size_t at) {
  size_t end = at;
  while (end < text.size && (is_alphanumeric(text.data[end]) || !ends_literal(text.data[end]))) end++;
  add_to_word(scanner, span_between(text, at, end));
  if (end == text.size) return end;
  char byte = text.data[end];
  if (byte == '"' || byte == '{' || byte == '[' || byte == ':') {
    scanner->state = SCAN_OVER;
  } else {
    take_word(scanner, facts, false);
    finish_value(scanner);
  }
  return end;
}

static void keep_report(struct scanner *scanner, struct span part) {
  if (scanner->report_lost || scanner->report.size + part.size > LONGEST_REPORT) {
    scanner->report_lost = true;
  } else {
    buffer_add(&scanner->report, part);
  }
}

static size_t read_skipped(struct scanner *scanner, struct facts *facts, struct span text, size_t at) {
  bool whole;
  uint64_t letters = 0;
  size_t end = skip_value(scanner, text, at, &whole, &letters);
  if (is_generated(scanner)) facts->text += letters;
  if (is_kept(scanner)) keep_report(scanner, span_between(text, at, end));
  if (!whole) return end;
  if (is_ruled(scanner, ID)) {
    if (!scanner->report_lost)
      facts_id(facts, span_between(buffer_span(&scanner->report), 0, scanner->report.size - 1));
  } else if (is_report(scanner) && scanner->report_lost) {
    facts->too_long = true;
  } else if (is_ruled(scanner, REPORT)) {
    facts_report(facts, (enum report_kind)scanner->rule->what, buffer_span(&scanner->report));
  } else if (is_ruled(scanner, CHOICE_REPORT)) {
    scanner->has_choice_report = true;
  }
  finish_value(scanner);
  return end;
}

void scanner_start(struct scanner *scanner, struct facts *facts, bool is_event) {
  *scanner = (struct scanner){.is_event = is_event, .report = scanner->report};
  facts->documents++;
}

// Reads the text; if `to_generated`, only up to the first generated text. Returns how much was read.
static inline size_t read(struct scanner *scanner, struct facts *facts, struct span text, bool to_generated) {
  bool whole;
  size_t at = 0;
  while (at < text.size && scanner->state != SCAN_OVER) {
    switch (scanner->state) {
      case SCAN_BEGIN:
        if (text.data[at] == '{') {
          enter(scanner, TOP);
        } else if (!may_precede(text.data[at])) {
          scanner->state = SCAN_OVER;
        }
        at++;
        break;
      case SCAN_BETWEEN:
        at = read_between(scanner, facts, text, at);
        if (scanner->state != SCAN_KEY || at == text.size) break;
        // fall through
      case SCAN_KEY:
        at = read_key(scanner, text, at, &whole);
        if (!whole) break;
        scanner->state = SCAN_COLON;
        if (at == text.size) break;
        // fall through
      case SCAN_COLON:
        if (text.data[at] == ':') {
          scanner->state = SCAN_VALUE;
        } else if (!is_space(text.data[at])) {
          scanner->state = SCAN_OVER;
        }
        at++;
        if (scanner->state != SCAN_VALUE || at == text.size) break;
        // fall through
      case SCAN_VALUE:
        if (is_space(text.data[at])) {
          at++;
          break;
        }
        at = begin_value(scanner, facts, text, at);
        if (to_generated && is_generated(scanner)) return at;
        break;
      case SCAN_WORD:
        at = read_string(scanner, text, at, &whole);
        if (!whole) break;
        take_word(scanner, facts, true);
        finish_value(scanner);
        break;
      case SCAN_LITERAL:
        at = read_literal(scanner, facts, text, at);
        break;
      case SCAN_OPENED:
        if (is_space(text.data[at])) {
          at++;
          break;
        }
        if (text.data[at] != '}' && text.data[at] != ']') note_content(scanner, facts);
        scanner->state = SCAN_SKIP;
        break;
      case SCAN_SKIP:
        at = read_skipped(scanner, facts, text, at);
        break;
      case SCAN_OVER:
        break;
    }
  }
  return text.size;
}

void scanner_read(struct scanner *scanner, struct facts *facts, struct span text) { read(scanner, facts, text, false); }

bool scanner_find_generated(struct scanner *scanner, struct facts *facts, struct span text, size_t *end) {
  *end = read(scanner, facts, text, true);
  return is_generated(scanner);
}

void scanner_free(struct scanner *scanner) { buffer_free(&scanner->report); }
