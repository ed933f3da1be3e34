// What comes of a target's answer: whether it is one, who is told what if not, and what of it passes.

#pragma once

#include "attempt.h"

enum headers_status verdict_headers(struct filter *, bool last);
enum body_status verdict_body(struct filter *, bool last);
enum trailers_status verdict_trailers(struct filter *);
