// Follows a JSON text that comes in pieces and keeps nothing of it but the facts that stand at a few known places
// (places.c lists them). What merely looks like them elsewhere, a client's text or schema that an answer repeats, is
// passed over. Each byte is looked at once; what is no JSON ends the scan.

#pragma once

#include "facts.h"

struct scan_rule;

struct scanner {
  enum scan_state {
    SCAN_BEGIN,
    SCAN_BETWEEN,  // in an object or list, where a member or an element may begin
    SCAN_KEY,
    SCAN_COLON,
    SCAN_VALUE,
    SCAN_WORD,     // a string that is kept
    SCAN_LITERAL,  // a number, true, false or null
    SCAN_OPENED,   // an object or list of which it matters whether there is something in it
    SCAN_SKIP,     // a value that is passed over, kept as it is, or counted
    SCAN_OVER,
  } state;
  bool is_event;                  // of a stream: some places are of events only, others of whole answers
  const struct scan_rule *rule;   // about the value that is read; NULL if it is of no interest
  unsigned char places[8];        // the objects and lists around it that matter
  unsigned levels;

  // Of a value that is passed over.
  size_t depth;
  bool in_string, escaped;

  // Of a key, a word or a literal.
  char word[LONGEST_WORD];
  size_t word_size;
  bool word_lost;                 // it is longer
  unsigned hex_left, code;        // of an escape

  struct buffer report;
  bool report_lost;
  uint64_t element, index;        // of the choice
  bool has_choice_report;

  // What the text has been found to have.
  bool has_report, has_content, has_image, is_completed;
};

// Begins another text.
void scanner_start(struct scanner *scanner, struct facts *facts, bool is_event);
void scanner_read(struct scanner *scanner, struct facts *facts, struct span text);
// Reads `text` to the `end`, which is where generated text begins or else that of `text`. Returns whether it is the
// former.
bool scanner_find_generated(struct scanner *scanner, struct facts *facts, struct span text, size_t *end);
void scanner_free(struct scanner *scanner);
