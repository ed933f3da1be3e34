// Where an answer states its cost, the content that a client would miss, and the id of a response that it creates. No
// I/O.

#pragma once

#include "bytes.h"

enum place {
  NOWHERE,
  TOP,
  RESPONSE,
  MESSAGE,
  X_GROQ,
  META,
  CHOICES,  // lists have elements instead of members
  CHOICE,
  SAID,
  CALLS,
  CALL,
  FUNCTION,
  AUDIO,
  OUTPUT,
  OUTPUT_ITEM,
  PARTS,
  PART,
  DATA,
  PLACES
};

enum action {
  ENTER,          // an object of which some members matter
  LIST,
  REPORT,         // an object that is kept
  CHOICE_REPORT,
  INDEX,          // of a choice
  WORD,
  GENERATED,      // its strings are counted
  CONTENT,        // content that a client would miss
  TYPE,           // of an event
  IMAGE,
  ID,             // of the response that the answer creates
};

enum { ERROR_CONTENT = 1 };

struct scan_rule {
  struct span key;
  enum action action;
  int what;  // a place, report, word, or ERROR_CONTENT
  enum { ANYWHERE, IN_EVENTS, IN_ANSWERS } where;
};

// The rules inside a place.
struct inside {
  const struct scan_rule *rules;  // for the members of an object
  size_t count;
  bool is_list;
  enum place element;  // for the elements of a list
};

extern const struct inside INSIDE[PLACES];
// Returns the rule for the member `name` in events or in whole answers; NULL if there is none.
const struct scan_rule *find_rule(enum place place, struct span name, bool is_event);
