// The part of the ABI of Envoy's dynamic modules that this module uses, as of Envoy 1.40 (ABI v0.2).
//
// Hooks (`on_…`) are ours and called by Envoy. Callbacks are Envoy's and called by us, on the worker thread of the
// stream unless stated otherwise. What a callback returns belongs to Envoy and is valid until the hook returns or
// something of the same kind is changed.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

#define ABI_VERSION "v0.2.0"

typedef void *envoy_filter;     // one stream's filter in Envoy
typedef void *envoy_config;     // a filter's configuration in Envoy
typedef void *envoy_specifier;  // one choice of a cluster
typedef void *envoy_mutation;   // one request's headers, before any filter sees them
typedef void *envoy_balancer;   // one pool of hosts, of one worker
typedef void *envoy_selection;  // one choice of a host; NULL if it is not for a request
typedef void *envoy_scheduler;  // posts an event to the stream's worker thread; we delete it

struct header {
  struct span key, value;
};

enum header_type { REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS };
enum body_type { RECEIVED_REQUEST, BUFFERED_REQUEST, RECEIVED_RESPONSE, BUFFERED_RESPONSE };
enum headers_status {
  HEADERS_CONTINUE,
  HEADERS_STOP,
  HEADERS_CONTINUE_AND_DO_NOT_END,
  HEADERS_STOP_ALL_AND_BUFFER,
  HEADERS_STOP_ALL_AND_WATERMARK,
};
enum body_status {
  BODY_CONTINUE,
  BODY_STOP_AND_BUFFER,     // beyond the buffer limit, the client gets 413
  BODY_STOP_AND_WATERMARK,  // beyond the buffer limit, nothing more is read
  BODY_STOP_WITHOUT_BUFFER,
};
enum trailers_status { TRAILERS_CONTINUE, TRAILERS_STOP };
enum local_reply_status { LOCAL_REPLY_CONTINUE, LOCAL_REPLY_CONTINUE_AND_RESET };
enum metadata_source { METADATA_DYNAMIC, METADATA_ROUTE, METADATA_CLUSTER, METADATA_HOST };
enum attribute { ATTRIBUTE_UPSTREAM_LOCAL_ADDRESS = 51 };
enum reset_reason { RESET_LOCAL };
enum host_health { HOST_UNHEALTHY, HOST_DEGRADED, HOST_HEALTHY };
enum host_stat { HOST_REQUESTS_ACTIVE = 7 };
enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_CRITICAL };

#define CALLBACK(name) envoy_dynamic_module_callback_##name
#define HOOK(name) envoy_dynamic_module_on_##name
#define HOOK_EXPORT __attribute__((visibility("default")))

void CALLBACK(log)(int level, struct span message);

bool CALLBACK(http_get_header)(envoy_filter, int type, struct span key, struct span *value, size_t index,
                               size_t *count);
size_t CALLBACK(http_get_headers_size)(envoy_filter, int type);
bool CALLBACK(http_get_headers)(envoy_filter, int type, struct header *into);
// A value without a pointer removes the header.
bool CALLBACK(http_set_header)(envoy_filter, int type, struct span key, struct span value);

size_t CALLBACK(http_get_body_size)(envoy_filter, int type);
size_t CALLBACK(http_get_body_chunks_size)(envoy_filter, int type);
bool CALLBACK(http_get_body_chunks)(envoy_filter, int type, struct span *into);
bool CALLBACK(http_append_body)(envoy_filter, int type, struct span data);
bool CALLBACK(http_drain_body)(envoy_filter, int type, size_t bytes);
void CALLBACK(http_set_buffer_limit)(envoy_filter, uint64_t bytes);

bool CALLBACK(http_get_metadata_string)(envoy_filter, int source, struct span space, struct span key,
                                        struct span *value);
bool CALLBACK(http_set_filter_state_bytes)(envoy_filter, struct span key, struct span value);
bool CALLBACK(http_get_filter_state_bytes)(envoy_filter, struct span key, struct span *value);

bool CALLBACK(http_filter_get_attribute_string)(envoy_filter, int attribute, struct span *value);

void CALLBACK(http_send_response)(envoy_filter, uint32_t status, struct header *headers, size_t count, struct span body,
                                  struct span details);
// Answers through the response filters, as if the answer came from upstream: Envoy judges it like any other answer,
// while http_send_response sends straight to the client. Only for an attempt that has a connection, and only from its
// `scheduled` hook: otherwise, Envoy crashes.
void CALLBACK(http_send_response_headers)(envoy_filter, struct header *headers, size_t count, bool last);
// Ends the stream, even if the client has got a part of the answer.
void CALLBACK(http_filter_reset_stream)(envoy_filter, int reason, struct span details);
void CALLBACK(http_clear_route_cache)(envoy_filter);
void CALLBACK(http_filter_continue_decoding)(envoy_filter);

envoy_scheduler CALLBACK(http_filter_scheduler_new)(envoy_filter);
// May be called from any thread. Does nothing once the filter is gone.
void CALLBACK(http_filter_scheduler_commit)(envoy_scheduler, uint64_t event);
void CALLBACK(http_filter_scheduler_delete)(envoy_scheduler);

size_t CALLBACK(early_header_mutation_get_headers_size)(envoy_mutation);
bool CALLBACK(early_header_mutation_get_headers)(envoy_mutation, struct header *into);
bool CALLBACK(early_header_mutation_remove_header)(envoy_mutation, struct span key);

// Reads an attribute of the stream, and so of its last attempt.
bool CALLBACK(cluster_specifier_get_attribute_string)(envoy_specifier, int attribute, struct span *value);
// Returns false if the cluster or priority does not exist. Each result may be NULL to omit it.
bool CALLBACK(cluster_specifier_get_cluster_host_count)(envoy_specifier, struct span cluster, uint32_t priority,
                                                        size_t *all, size_t *healthy, size_t *degraded);
// Returns the same value for all attempts of a request.
uint64_t CALLBACK(cluster_specifier_get_random_value)(envoy_specifier);
void CALLBACK(cluster_specifier_set_cluster_name)(envoy_specifier, struct span name);

// Hosts are numbered within their priority. An address is valid until the hosts change.
size_t CALLBACK(lb_get_healthy_hosts_count)(envoy_balancer, uint32_t priority);
size_t CALLBACK(lb_get_hosts_count)(envoy_balancer, uint32_t priority);
bool CALLBACK(lb_get_host_address)(envoy_balancer, uint32_t priority, size_t host, struct span *address);
uint32_t CALLBACK(lb_get_host_weight)(envoy_balancer, uint32_t priority, size_t host);
int CALLBACK(lb_get_host_health)(envoy_balancer, uint32_t priority, size_t host);
uint64_t CALLBACK(lb_get_host_stat)(envoy_balancer, uint32_t priority, size_t host, int stat);
bool CALLBACK(lb_context_get_downstream_header)(envoy_selection, struct span key, struct span *value, size_t index,
                                                size_t *count);
// Returns whether an earlier attempt of the request used this host.
bool CALLBACK(lb_context_should_select_another_host)(envoy_balancer, envoy_selection, uint32_t priority, size_t host);
