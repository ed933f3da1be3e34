// The HTTP filters of this module. Each filter is a struct that begins with `struct filter`.

#pragma once

#include "abi.h"

struct filter;

// The hooks of one kind of filter. `configure` and `new` are required; a NULL hook lets everything pass.
struct filter_kind {
  // Returns NULL to refuse the configuration, and any other pointer to accept it, even without settings.
  void *(*configure)(struct span config);
  void (*unconfigure)(void *config);
  struct filter *(*new)(void *config, envoy_filter envoy);
  enum headers_status (*request_headers)(struct filter *, bool last);
  enum body_status (*request_body)(struct filter *, bool last);
  enum trailers_status (*request_trailers)(struct filter *);
  enum headers_status (*response_headers)(struct filter *, bool last);
  enum body_status (*response_body)(struct filter *, bool last);
  enum trailers_status (*response_trailers)(struct filter *);
  // `event` is what was committed to the stream's scheduler.
  void (*scheduled)(struct filter *, uint64_t event);
  void (*complete)(struct filter *);  // before the access log
  // If NULL, the filter's memory is freed.
  void (*destroy)(struct filter *);
};

struct filter {
  const struct filter_kind *kind;
  envoy_filter envoy;
};

// Has the translator check every request, and routes the request as the answer says.
extern const struct filter_kind authorise_filter;
// Prepares one attempt for the target that Envoy chose, and reads what it used.
extern const struct filter_kind attempt_filter;
