// The events of a stream mostly begin alike, up to the text that each of them adds. What such a beginning says is
// remembered, so that the same one is compared and not read again. No I/O.

#pragma once

#include "scanner.h"

enum { LONGEST_BEGINNING = 512 };

struct beginning {
  char text[LONGEST_BEGINNING];
  size_t size;            // 0: there is none
  struct scanner behind;  // as it is there, but for its report
  uint64_t word_changes;  // of the facts, there
};

// Reads a piece of an event's data, as scanner_read does.
void beginning_read(struct beginning *beginning, struct scanner *scanner, struct facts *facts, struct span text);
