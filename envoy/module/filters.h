// The filters of this module. Each is one struct that begins with `struct filter`.

#pragma once

#include "abi.h"

struct filter;

// The hooks of one kind of filter; every one is there.
struct filter_kind {
  // NULL refuses the configuration.
  void *(*configure)(struct span config);
  void (*unconfigure)(void *config);
  struct filter *(*new)(void *config, envoy_filter envoy);
  int (*request_headers)(struct filter *, bool last);
  int (*request_body)(struct filter *, bool last);
  int (*request_trailers)(struct filter *);
  int (*response_headers)(struct filter *, bool last);
  int (*response_body)(struct filter *, bool last);
  int (*response_trailers)(struct filter *);
  void (*scheduled)(struct filter *);
  void (*complete)(struct filter *);  // before the access log
  void (*destroy)(struct filter *);
};

struct filter {
  const struct filter_kind *kind;
  envoy_filter envoy;
};

// Asks the translator about every request, and routes it as that says.
extern const struct filter_kind authorise_filter;
// Dresses one attempt for the target that Envoy chose for it, and sees what it used.
extern const struct filter_kind dress_filter;
