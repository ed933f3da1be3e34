// The events of a stream mostly begin alike, up to the text that each of them adds. The facts in such a beginning are
// remembered, so an identical one is compared instead of read again. No I/O.

#pragma once

#include "scanner.h"

enum { LONGEST_BEGINNING = 512 };

struct beginning {
  char text[LONGEST_BEGINNING];
  size_t size;            // 0: nothing is remembered
  struct scanner behind;  // the scanner's state after the beginning, except its report
  uint64_t word_changes;  // of the facts, at that point
};

// Reads a piece of an event's data, as scanner_read does.
void beginning_read(struct beginning *beginning, struct scanner *scanner, struct facts *facts, struct span text);
