#include "facts.h"

#include <string.h>

// Returns the largest whole number outside strings.
static uint64_t largest_number(struct span text) {
  uint64_t largest = 0, number = 0;
  bool in_string = false, in_fraction = false;
  for (size_t at = 0; at < text.size; at++) {
    char byte = text.data[at];
    if (in_string) {
      if (byte == '\\') at++;
      in_string = byte != '"';
      continue;
    }
    if (byte >= '0' && byte <= '9' && !in_fraction) {
      number = number < UINT64_MAX / 100 ? number * 10 + (uint64_t)(byte - '0') : number;
      if (number > largest) largest = number;
      continue;
    }
    in_fraction = byte == '.' || (in_fraction && byte >= '0' && byte <= '9');
    number = 0;
    in_string = byte == '"';
  }
  return largest;
}

static uint64_t largest_of(struct report *report) {
  if (!report->is_measured) report->largest = largest_number(buffer_span(&report->text));
  report->is_measured = true;
  return report->largest;
}

static void keep(struct report *report, struct span text, uint64_t document) {
  bool duplicate = report->document == document;  // of two members with one name, the last counts
  bool follows = report->text.size && !duplicate;
  uint64_t largest = follows ? largest_number(text) : 0;
  if (follows && largest < largest_of(report)) return;
  report->text.size = 0;
  buffer_add(&report->text, text);
  report->is_measured = follows;
  report->largest = largest;
  report->document = document;
}

void facts_report(struct facts *facts, enum report_kind kind, struct span text) {
  keep(&facts->reports[kind], text, facts->documents);
}

void facts_choice(struct facts *facts, uint64_t index, struct span text) {
  size_t at = 0;
  while (at < facts->choice_count && facts->choices[at].index != index) at++;
  if (at == MAX_CHOICES) return;
  if (at == facts->choice_count) facts->choices[facts->choice_count++].index = index;
  keep(&facts->choices[at].usage, text, facts->documents);
}

static bool is_plain(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
         (byte && strchr("._:+-", byte));
}

void facts_word(struct facts *facts, enum word_kind kind, struct span text) {
  if (text.size > LONGEST_WORD) return;
  for (size_t at = 0; at < text.size; at++) {
    if (!is_plain(text.data[at])) return;
  }
  if (span_is(text, (struct span){facts->words[kind].text, facts->words[kind].size})) return;
  facts->word_changes++;
  memcpy(facts->words[kind].text, text.data, text.size);
  facts->words[kind].size = text.size;
}

static bool is_of_id(char byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
         (byte && strchr("_-.=:+~", byte));
}

void facts_id(struct facts *facts, struct span text) {
  if (facts->id.size || text.size == 0 || text.size > LONGEST_RESPONSE_ID || text.data[0] == '.') return;
  for (size_t at = 0; at < text.size; at++) {
    if (!is_of_id(text.data[at])) return;
  }
  buffer_add(&facts->id, text);
}

static void write_member(struct buffer *into, struct span name, struct span value) {
  buffer_add(into, SPAN(",\""));
  buffer_add(into, name);
  buffer_add(into, SPAN("\":"));
  buffer_add(into, value);
}

static void write_number(struct buffer *into, struct span name, uint64_t number) {
  write_member(into, name, NO_SPAN);
  buffer_add_number(into, number);
}

static void write_reports(const struct facts *facts, struct buffer *into) {
  static const struct span NAMES[REPORT_KINDS] = {SPAN("usage"), SPAN("start"), SPAN("billed_units"), SPAN("timings")};
  bool has_usage = facts->reports[REPORT_USAGE].text.size || facts->choice_count;
  for (size_t kind = REPORT_USAGE + 1; kind < REPORT_KINDS; kind++) {
    if (kind == REPORT_TIMINGS && has_usage) continue;
    struct span text = buffer_span(&facts->reports[kind].text);
    if (text.size) write_member(into, NAMES[kind], text);
  }
  if (facts->choice_count && !facts->reports[REPORT_USAGE].text.size) {
    write_member(into, SPAN("choices"), SPAN("["));
    for (size_t at = 0; at < facts->choice_count; at++) {
      if (at) buffer_add(into, SPAN(","));
      buffer_add(into, buffer_span(&facts->choices[at].usage.text));
    }
    buffer_add(into, SPAN("]"));
  }
}

void facts_write(const struct facts *facts, struct buffer *into) {
  static const struct span NAMES[WORD_KINDS] = {SPAN("tier"), SPAN("seconds"), SPAN("size"), SPAN("quality"),
                                                SPAN("coding")};
  static const struct span NOTHING = SPAN("{\"usage\":null");
  struct span usage = buffer_span(&facts->reports[REPORT_USAGE].text);
  size_t start = into->size;
  buffer_add(into, SPAN("{\"usage\":"));
  buffer_add(into, usage.size ? usage : SPAN("null"));
  write_reports(facts, into);
  for (size_t kind = 0; kind < WORD_KINDS; kind++) {
    if (!facts->words[kind].size) continue;
    write_member(into, NAMES[kind], SPAN("\""));
    buffer_add(into, (struct span){facts->words[kind].text, facts->words[kind].size});
    buffer_add(into, SPAN("\""));
  }
  if (facts->items || facts->has_data) write_number(into, SPAN("items"), facts->items);
  if (facts->text) write_number(into, SPAN("text"), facts->text);
  if (facts->deltas) write_number(into, SPAN("deltas"), facts->deltas);
  if (facts->failed) write_member(into, SPAN("failed"), SPAN("true"));
  if (facts->too_long) write_member(into, SPAN("too_long"), SPAN("true"));
  if (span_is(span_from(buffer_span(into), start), NOTHING)) {
    into->size = start;
    return;
  }
  buffer_add(into, SPAN("}"));
}

void facts_clear(struct facts *facts) {
  facts_free(facts);
  *facts = (struct facts){0};
}

void facts_free(struct facts *facts) {
  for (size_t kind = 0; kind < REPORT_KINDS; kind++) buffer_free(&facts->reports[kind].text);
  for (size_t at = 0; at < facts->choice_count; at++) buffer_free(&facts->choices[at].usage.text);
  buffer_free(&facts->id);
}
