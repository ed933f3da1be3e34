// The facts in an answer that determine its cost, as in the access log: usage reports as the target wrote them, and a
// few words and counts. It is bounded for any answer.

#pragma once

#include "bytes.h"

enum report_kind {
  REPORT_USAGE,  // `usage` of the answer or of its events
  REPORT_START,  // `message.usage` of the first event, if the last one reports only the output
  REPORT_BILLED_UNITS,  // `meta.billed_units`
  REPORT_TIMINGS,  // `timings`, a llama.cpp server's own counts
  REPORT_KINDS
};

enum word_kind { WORD_TIER, WORD_SECONDS, WORD_SIZE, WORD_QUALITY, WORD_CODING, WORD_KINDS };

enum {
  LONGEST_REPORT = 16 * 1024,
  LONGEST_WORD = 32,
  LONGEST_RESPONSE_ID = 512,
  // Most choices that may report their own usage; no server that does so allows more.
  MAX_CHOICES = 16,
};

// The text of one JSON object. A later one replaces it unless its counts are smaller: some servers report a running
// total in every event, and others end with an empty report.
struct report {
  struct buffer text;
  uint64_t largest;  // the largest number in it; found only when needed, because most answers have one report
  bool is_measured;  // `largest` is known
  uint64_t document;  // that contains it
};

struct facts {
  struct report reports[REPORT_KINDS];
  struct {
    uint64_t index;
    struct report usage;
  } choices[MAX_CHOICES];
  size_t choice_count;
  struct {
    char text[LONGEST_WORD];
    size_t size;
  } words[WORD_KINDS];
  uint64_t word_changes;
  uint64_t items;  // length of the list `data`, or number of images sent as events
  bool has_data;  // the list `data` is complete, so that 0 items are none
  uint64_t text;  // bytes of generated text
  uint64_t deltas;  // events with generated text
  uint64_t documents;  // JSON texts: one, or one per event
  bool failed;  // an event of the stream is an error
  bool too_long;  // a report was too long and is not kept
  bool wants_id;  // the id of the response that the answer creates: the first valid `id`
  struct buffer id;
};

void facts_report(struct facts *facts, enum report_kind kind, struct span text);
// Adds the usage of one of several choices.
void facts_choice(struct facts *facts, uint64_t index, struct span text);
// Keeps a word that consists of letters, digits and `._:+-`; ignores any other.
void facts_word(struct facts *facts, enum word_kind kind, struct span text);
// Keeps the first text that can be the id of a response and a path segment: at most LONGEST_RESPONSE_ID letters, digits
// and `_-.=:+~`, not beginning with a point.
void facts_id(struct facts *facts, struct span text);
// Writes the facts as a JSON object; nothing if there are none.
void facts_write(const struct facts *facts, struct buffer *into);
// Clears the facts, and what was wanted.
void facts_clear(struct facts *facts);
void facts_free(struct facts *facts);
