// One attempt to serve a request at a target: the filter that Envoy runs between its router and the target. attempt.c
// prepares the request for the target, verdict.c sees what comes back.

#pragma once

#include "answers.h"
#include "filters.h"
#include "hygiene.h"
#include "redact.h"
#include "request.h"

// What the endpoint's metadata says about its target: <flags> <path prefix or -> <credential or -> <target> <name>.
// flags: u, it understands stream_options; n, it is a node and the credential its id; o, the node belongs to whoever
// asks. target: its id, percent-encoded. name: the model's there, as a JSON string; it may contain spaces.
struct target {
  bool understands_usage, node, own;
  struct span prefix, credential, id, model;
};

struct attempt {
  struct filter filter;
  struct request *request;
  struct buffer metadata;  // what `target` points into: Envoy may replace its own at any time
  struct target target;
  uint64_t host;
  bool asked;     // the target, and not only the module
  bool answered;  // it is clear what comes of the attempt
  bool paused;    // the target has said that it takes no more for a while
  bool runs;      // counts among the attempts at the host that have no answer yet
  bool edits_model, edits_usage;
  struct buffer model;  // its name at the target, where that is more or less than a JSON string

  // The answer's headers wait until its first bytes tell what it is.
  enum { HELD_NOTHING, HELD_JSON, HELD_EVENTS, HELD_MISSING } holds;
  struct buffer held;        // those bytes
  struct head head;          // what its headers say
  struct span instead;       // what the client gets in the place of its body, if there is something
  bool swallows;             // that is sent: the rest of the target's body is dropped
  struct redactor redactor;  // of the target's credential
  struct answer answer;
};
