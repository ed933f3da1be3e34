// One attempt to serve a request at a target: the filter that Envoy runs between its router and the target. attempt.c
// prepares the request for the target; verdict.c judges the answer.

#pragma once

#include "answers.h"
#include "filters.h"
#include "hygiene.h"
#include "redact.h"
#include "request.h"

// The target by the endpoint's metadata: <flags> <path prefix or -> <credential or -> <target> <name>. Flags: u, it
// understands stream_options; n, it is a node and the credential is its id; o, the node belongs to the caller. target:
// its id, percent-encoded. name: the model's name there, as a JSON string that may contain spaces.
struct target {
  bool understands_usage, node, own;
  struct span prefix, credential, id, model;
};

struct attempt {
  struct filter filter;
  struct request *request;
  struct buffer metadata;  // `target` points into this copy, because Envoy may replace its own at any time
  struct target target;
  uint64_t host;
  bool asked;     // the target was asked, not only the module
  bool answered;  // the result of the attempt is decided
  bool paused;    // the target said that it accepts no more for a while
  bool limited_to_caller;  // a 401 that concerns only what this request asks for
  bool runs;      // counted among the host's attempts without an answer
  bool edits_model, edits_usage;
  struct buffer model;  // the model's name at the target, if that is not a plain JSON string

  // The answer's headers wait until its first bytes show what it is.
  enum { HELD_NOTHING, HELD_JSON, HELD_EVENTS, HELD_MISSING, HELD_UNAUTHORISED } holds;
  bool guesses;              // they also show its form, which its content type may hide
  struct buffer held;        // those bytes
  struct head head;          // what its headers say
  struct span instead;       // the replacement of the answer's body, if any
  bool swallows;             // the replacement is sent: the rest of the target's body is dropped
  struct redactor redactor;  // for the target's credential
  struct answer answer;
};
