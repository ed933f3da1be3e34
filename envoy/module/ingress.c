// Removes headers from every request, before any filter sees it. Some only the gateway may set: its own, those of
// Envoy's namespaces, and a request id, with which a request could share another one's reservation. Two of its own are
// the client's. The others could tell a target to use another credential or account, another target, path or method
// than those of the request that is metered, or to answer with less than an answer.

#include <stdlib.h>

#include "abi.h"

enum { FEW = 64 };

// There are no settings; an accepted configuration must return any non-NULL pointer.
static const char ACCEPTED;

// The headers of other gateways and of clouds that choose for their server. A name that ends in a dash stands for all
// that begin so.
static const struct span CHOOSING[] = {
    SPAN("proxy-authorization"),
    SPAN("ocp-apim-subscription-key"),
    SPAN("helicone-"),
    SPAN("cf-aig-"),
    SPAN("cf-access-"),
    SPAN("range"),
    SPAN("if-"),
};
static const struct span CHOOSING_X[] = {
    SPAN("x-auth-token"),
    SPAN("x-access-token"),
    SPAN("x-amz-security-token"),
    SPAN("x-goog-user-project"),
    SPAN("x-goog-iam-authorization-token"),
    SPAN("x-hf-bill-to"),
    SPAN("x-litellm-"),
    SPAN("x-portkey-"),
    SPAN("x-original-url"),
    SPAN("x-rewrite-url"),
    SPAN("x-http-method-override"),
    SPAN("x-method-override"),
    SPAN("x-forwarded-host"),
};

static bool is_one_of(struct span name, const struct span *all, size_t count) {
  for (size_t at = 0; at < count; at++) {
    bool prefix = all[at].data[all[at].size - 1] == '-';
    if (prefix ? span_begins(name, all[at]) : span_is(name, all[at])) return true;
  }
  return false;
}

static bool is_unwanted(struct span name) {
  if (!span_begins(name, SPAN("x-"))) return is_one_of(name, CHOOSING, sizeof CHOOSING / sizeof *CHOOSING);
  if (is_one_of(name, CHOOSING_X, sizeof CHOOSING_X / sizeof *CHOOSING_X)) return true;
  if (span_begins(name, SPAN("x-trunkline-"))) {
    return !span_is(name, SPAN("x-trunkline-tag")) && !span_is(name, SPAN("x-trunkline-max-price"));
  }
  return span_begins(name, SPAN("x-envoy-")) || span_is(name, SPAN("x-request-id"));
}

// Removes the headers with these names, one per line.
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
  struct buffer unwanted = {0};  // collected first, because a removal invalidates what Envoy returned
  if (count && CALLBACK(early_header_mutation_get_headers)(envoy, all)) {
    for (size_t at = 0; at < count; at++) {
      if (!is_unwanted(all[at].key)) continue;
      buffer_add(&unwanted, all[at].key);
      buffer_add(&unwanted, SPAN("\n"));
    }
  }
  if (all != few) free(all);
  remove_all(envoy, buffer_span(&unwanted));
  buffer_free(&unwanted);
  return true;
}
