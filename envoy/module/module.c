// The hooks that Envoy calls; each is passed to its filter. Envoy's abi.h has the rules for all of them.

#include <stdlib.h>

#include "filters.h"

struct config {
  const struct filter_kind *kind;
  void *config;
};

static const struct {
  struct span name;
  const struct filter_kind *kind;
} FILTERS[] = {{SPAN("authorise"), &authorise_filter}, {SPAN("dress"), &attempt_filter}};

static struct filter *of(const void *filter) { return (struct filter *)filter; }

static const struct filter_kind *kind_of(const void *filter) { return of(filter)->kind; }

HOOK_EXPORT const char *HOOK(program_init)(void) { return ABI_VERSION; }

HOOK_EXPORT const void *HOOK(http_filter_config_new)(envoy_config envoy, struct span name, struct span text) {
  (void)envoy;
  const struct filter_kind *kind = NULL;
  for (size_t at = 0; at < sizeof FILTERS / sizeof *FILTERS; at++) {
    if (span_is(name, FILTERS[at].name)) kind = FILTERS[at].kind;
  }
  void *made = kind ? kind->configure(text) : NULL;
  if (!made) return NULL;
  struct config *config = allocate(sizeof *config);
  *config = (struct config){kind, made};
  return config;
}

HOOK_EXPORT void HOOK(http_filter_config_destroy)(const void *config) {
  struct config *mine = (struct config *)config;
  if (mine->kind->unconfigure) mine->kind->unconfigure(mine->config);
  free(mine);
}

HOOK_EXPORT const void *HOOK(http_filter_new)(const void *config, envoy_filter envoy) {
  const struct config *mine = config;
  struct filter *filter = mine->kind->new(mine->config, envoy);
  filter->kind = mine->kind;
  filter->envoy = envoy;
  return filter;
}

HOOK_EXPORT enum headers_status HOOK(http_filter_request_headers)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return kind_of(filter)->request_headers ? kind_of(filter)->request_headers(of(filter), last) : HEADERS_CONTINUE;
}

HOOK_EXPORT enum body_status HOOK(http_filter_request_body)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return kind_of(filter)->request_body ? kind_of(filter)->request_body(of(filter), last) : BODY_CONTINUE;
}

HOOK_EXPORT enum trailers_status HOOK(http_filter_request_trailers)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  return kind_of(filter)->request_trailers ? kind_of(filter)->request_trailers(of(filter)) : TRAILERS_CONTINUE;
}

HOOK_EXPORT enum headers_status HOOK(http_filter_response_headers)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return kind_of(filter)->response_headers ? kind_of(filter)->response_headers(of(filter), last) : HEADERS_CONTINUE;
}

HOOK_EXPORT enum body_status HOOK(http_filter_response_body)(envoy_filter envoy, const void *filter, bool last) {
  (void)envoy;
  return kind_of(filter)->response_body ? kind_of(filter)->response_body(of(filter), last) : BODY_CONTINUE;
}

HOOK_EXPORT enum trailers_status HOOK(http_filter_response_trailers)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  return kind_of(filter)->response_trailers ? kind_of(filter)->response_trailers(of(filter)) : TRAILERS_CONTINUE;
}

HOOK_EXPORT void HOOK(http_filter_scheduled)(envoy_filter envoy, const void *filter, uint64_t event) {
  (void)envoy;
  if (kind_of(filter)->scheduled) kind_of(filter)->scheduled(of(filter), event);
}

HOOK_EXPORT void HOOK(http_filter_stream_complete)(envoy_filter envoy, const void *filter) {
  (void)envoy;
  if (kind_of(filter)->complete) kind_of(filter)->complete(of(filter));
}

HOOK_EXPORT void HOOK(http_filter_destroy)(const void *filter) {
  if (kind_of(filter)->destroy) {
    kind_of(filter)->destroy(of(filter));
  } else {
    free(of(filter));
  }
}

// Envoy requires these symbols. They belong to features that this module does not use, so Envoy never calls them.
#define UNUSED(name) \
  HOOK_EXPORT void HOOK(name)(void) {}
UNUSED(http_filter_http_callout_done)
UNUSED(http_filter_http_stream_headers)
UNUSED(http_filter_http_stream_data)
UNUSED(http_filter_http_stream_trailers)
UNUSED(http_filter_http_stream_complete)
UNUSED(http_filter_http_stream_reset)
UNUSED(http_filter_downstream_above_write_buffer_high_watermark)
UNUSED(http_filter_downstream_below_write_buffer_low_watermark)
