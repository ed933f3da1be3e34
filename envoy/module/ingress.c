// Removes from every request, before any filter sees it, what only the gateway may set: headers of its own and of
// Envoy's namespaces, and a request id, with which a request could share another one's reservation. Two headers are the
// client's own.

#include <stdlib.h>

#include "abi.h"

enum { FEW = 64 };

// There are no settings; an accepted configuration must return any non-NULL pointer.
static const char ACCEPTED;

static bool is_forged(struct span name) {
  if (!span_begins(name, SPAN("x-"))) return false;
  if (span_begins(name, SPAN("x-trunkline-"))) {
    return !span_is(name, SPAN("x-trunkline-tag")) && !span_is(name, SPAN("x-trunkline-max-price"));
  }
  return span_begins(name, SPAN("x-envoy-")) || span_is(name, SPAN("x-request-id"));
}

// Removes the headers with these names, one a line.
static void remove_all(envoy_mutation envoy, struct span names) {
  while (names.size) CALLBACK(early_header_mutation_remove_header)(envoy, span_next(&names, '\n'));
}

HOOK_EXPORT const void *HOOK(early_header_mutation_config_new)(envoy_config envoy, struct span name, struct span text) {
  (void)envoy, (void)text;
  return span_is(name, SPAN("ingress")) ? &ACCEPTED : NULL;
}

HOOK_EXPORT void HOOK(early_header_mutation_config_destroy)(const void *config) { (void)config; }

HOOK_EXPORT bool HOOK(early_header_mutation_mutate)(const void *config, envoy_mutation envoy) {
  (void)config;
  size_t count = CALLBACK(early_header_mutation_get_headers_size)(envoy);
  struct header few[FEW], *all = count <= FEW ? few : allocate(count * sizeof *all);
  struct buffer forged = {0};  // collected first, because a removal invalidates what Envoy returned
  if (count && CALLBACK(early_header_mutation_get_headers)(envoy, all)) {
    for (size_t at = 0; at < count; at++) {
      if (!is_forged(all[at].key)) continue;
      buffer_add(&forged, all[at].key);
      buffer_add(&forged, SPAN("\n"));
    }
  }
  if (all != few) free(all);
  remove_all(envoy, buffer_span(&forged));
  buffer_free(&forged);
  return true;
}
