// Where in an answer what it says about its cost stands, what of it a client would miss, and the id of a response that
// it makes. No I/O.

#pragma once

#include "bytes.h"

enum place {
  NOWHERE,
  TOP,
  RESPONSE,
  MESSAGE,
  X_GROQ,
  META,
  CHOICES,  // lists have elements and no members
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
  ENTER,          // an object in which some members matter
  LIST,
  REPORT,         // an object that is kept
  CHOICE_REPORT,
  INDEX,          // of the choice
  WORD,
  GENERATED,      // its strings are counted
  CONTENT,        // a client would miss it
  TYPE,           // of an event
  IMAGE,
  ID,             // of the response that the answer makes
};

struct scan_rule {
  struct span key;
  enum action action;
  int what;  // place, report or word
  enum { ANYWHERE, IN_EVENTS, IN_ANSWERS } where;
};

// What holds inside a place.
struct inside {
  const struct scan_rule *rules;  // about the members of an object
  size_t count;
  bool is_list;
  enum place element;  // of a list
};

extern const struct inside INSIDE[PLACES];
// The rule about the member `name` in events or in whole answers; NULL if there is none.
const struct scan_rule *find_rule(enum place place, struct span name, bool is_event);
