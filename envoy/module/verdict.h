// Judges a target's answer: whether it is valid, what the client gets if not, and what of it passes.

#pragma once

#include "attempt.h"

enum headers_status verdict_headers(struct filter *, bool last);
enum body_status verdict_body(struct filter *, bool last);
enum trailers_status verdict_trailers(struct filter *);
