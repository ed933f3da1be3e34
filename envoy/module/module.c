// What Envoy calls: each hook goes to the filter that it is for. The ABI's rules for all of them: docs of the hook in
// Envoy's abi.h.

#include <stdlib.h>

#include "filters.h"

struct config {
  const struct filter_kind *kind;
  void *config;
};

static struct filter *of(const void *filter) { return (struct filter *)filter; }

HOOK_EXPORT const char *HOOK(program_init)(void) { return ABI_VERSION; }

HOOK_EXPORT const void *HOOK(http_filter_config_new)(envoy_config envoy, struct span name, struct span text) {
  (void)envoy;
  const struct filter_kind *kind = span_is(name, SPAN("authorise")) ? &authorise_filter
                                   : span_is(name, SPAN("dress"))   ? &dress_filter
                                                                    : NULL;
  void *made = kind ? kind->configure(text) : NULL;
  if (!made) return NULL;
  struct config *config = allocate(sizeof *config);
  *config = (struct config){kind, made};
  return config;
}

HOOK_EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
  struct config *mine = (struct config *)config;
  mine->kind->unconfigure(mine->config);
  free(mine);
}

HOOK_EXPORT const void *HOOK(http_filter_new)(const void *config, envoy_filter envoy) {
  const struct config *mine = config;
  struct filter *filter = mine->kind->new(mine->config, envoy);
  filter->kind = mine->kind;
  filter->envoy = envoy;
  return filter;
}

HOOK_EXPORT int HOOK(http_filter_request_headers)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return of(filter)->kind->request_headers(of(filter), last);
}

HOOK_EXPORT int HOOK(http_filter_request_body)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return of(filter)->kind->request_body(of(filter), last);
}

HOOK_EXPORT int HOOK(http_filter_request_trailers)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  return of(filter)->kind->request_trailers(of(filter));
}

HOOK_EXPORT int HOOK(http_filter_response_headers)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return of(filter)->kind->response_headers(of(filter), last);
}

HOOK_EXPORT int HOOK(http_filter_response_body)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return of(filter)->kind->response_body(of(filter), last);
}

HOOK_EXPORT int HOOK(http_filter_response_trailers)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  return of(filter)->kind->response_trailers(of(filter));
}

HOOK_EXPORT void HOOK(http_filter_scheduled)(envoy_filter envoy, const void *filter, uint64_t event) {
  (void)envoy;
  (void)event;
  of(filter)->kind->scheduled(of(filter));
}

HOOK_EXPORT void HOOK(http_filter_stream_complete)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  of(filter)->kind->complete(of(filter));
}

HOOK_EXPORT void HOOK(http_filter_destroy)(const void *filter) { of(filter)->kind->destroy(of(filter)); }

HOOK_EXPORT int HOOK(http_filter_local_reply)(envoy_filter envoy, const void *filter, uint32_t status,
                                              struct span details, bool reset_imminent) {
  (void)envoy, (void)filter, (void)status, (void)details, (void)reset_imminent;
  return 0;  // as it is
}

// Envoy wants these to be there. They are about what this module does not use, and nothing is to be done in them.
#define UNUSED(name) \
  HOOK_EXPORT void HOOK(name)(void) {}
UNUSED(http_filter_config_scheduled)
UNUSED(http_filter_per_route_config_new)
UNUSED(http_filter_per_route_config_destroy)
UNUSED(http_filter_http_callout_done)
UNUSED(http_filter_http_stream_headers)
UNUSED(http_filter_http_stream_data)
UNUSED(http_filter_http_stream_trailers)
UNUSED(http_filter_http_stream_complete)
UNUSED(http_filter_http_stream_reset)
UNUSED(http_filter_downstream_above_write_buffer_high_watermark)
UNUSED(http_filter_downstream_below_write_buffer_low_watermark)
