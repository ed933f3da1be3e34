// Scans a JSON text that arrives in pieces, and keeps only the facts at a few known places (places.c lists them).
// Similar text elsewhere, such as a client's text or schema that an answer repeats, is ignored. Each byte is examined
// once; anything but JSON ends the scan.

#pragma once

#include "facts.h"

struct scan_rule;

struct scanner {
  enum scan_state {
    SCAN_BEGIN,
    SCAN_BETWEEN,  // where a member or an element may begin
    SCAN_KEY,
    SCAN_COLON,
    SCAN_VALUE,
    SCAN_WORD,     // a string that is kept
    SCAN_LITERAL,  // a number, true, false or null
    SCAN_OPENED,   // an object or list that only matters by being empty or not
    SCAN_SKIP,     // a value that is skipped, kept as it is, or counted
    SCAN_OVER,
  } state;
  bool is_event;                  // part of a stream: some places exist only in events, others only in whole answers
  const struct scan_rule *rule;   // for the current value; NULL if it does not matter
  unsigned char places[8];        // the enclosing objects and lists that matter
  unsigned levels;

  // The state within a skipped value.
  size_t depth;
  bool in_string, escaped;

  // The current key, word or literal.
  char word[LONGEST_WORD];
  size_t word_size;
  bool word_lost;                 // the word is too long
  unsigned hex_left, code;        // within an escape

  struct buffer report;
  bool report_lost;
  uint64_t element, index;        // of a choice
  bool has_choice_report;

  // Facts about the text.
  bool has_report, has_content, has_image, is_completed;
};

// Begins another text.
void scanner_start(struct scanner *scanner, struct facts *facts, bool is_event);
void scanner_read(struct scanner *scanner, struct facts *facts, struct span text);
// Reads `text` to the `end`: the beginning of generated text, or the end of `text`. Returns whether it is the former.
bool scanner_find_generated(struct scanner *scanner, struct facts *facts, struct span text, size_t *end);
void scanner_free(struct scanner *scanner);
