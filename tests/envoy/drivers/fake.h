// The part of Envoy that the module sees. It frees what it provides as soon as Envoy might, so that the sanitizer
// detects later uses.

#pragma once

#include "abi.h"

struct fake;

// The fake of one filter; with `stream`, of an attempt of that request, whose headers and filter state it shares.
struct fake *fake_new(struct fake *stream);
void fake_free(struct fake *fake);

void fake_add_header(struct fake *fake, int type, struct span key, struct span value);
void fake_clear_headers(struct fake *fake, int type);
void fake_put_headers(struct fake *fake, int type, struct buffer *answer);
void fake_set_metadata(struct fake *fake, struct span text);

// A body is there once something was added to it, if only nothing.
void fake_add_body(struct fake *fake, int type, struct span slice);
void fake_move_body(struct fake *fake, int from, int to);
void fake_take_body(struct fake *fake, int type, struct buffer *into);

struct span fake_state(const struct fake *fake, struct span key);
// The answer sent instead of passing the request on: status, headers in lines, body; empty if there was none.
void fake_put_response(const struct fake *fake, struct buffer *answer);
unsigned fake_continued(const struct fake *fake);
// The lines logged since the last time, by anyone.
void fake_take_logged(struct buffer *answer);
uint64_t fake_limit(const struct fake *fake);
// Waits for the next event; false if none comes in time.
bool fake_await(struct fake *fake, unsigned timeout_ms, uint64_t *event);
// Takes an event that was committed, before those that came earlier. Returns false if it was not.
bool fake_take(struct fake *fake, uint64_t event);

// Has the specifier choose for a request: lines of `<cluster>=<living hosts>`; `connected`: the last attempt was.
struct span fake_choose(struct fake *fake, const void *plan, uint64_t random, bool connected, struct span clusters);
// The status that was sent as if it came from upstream; 0 if none was.
unsigned fake_answered(const struct fake *fake);
