#define _GNU_SOURCE

#include "fake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver.h"
#include "request.h"

enum { MOST = 256, BODIES = 4, MAPS = 4, EVENTS = 8 };

struct headers {
  struct header all[MOST];
  size_t count;
};

struct body {
  struct span slices[MOST];
  size_t count;
  bool there;
};

struct fake {
  struct fake *stream;
  struct headers headers[MAPS], state, clusters;
  struct span chosen;  // the cluster
  uint64_t random;
  bool connected;
  unsigned answered;  // the status that was sent as if from upstream
  struct body bodies[BODIES];
  struct span metadata;
  struct buffer response;
  unsigned continued;
  uint64_t limit;              // of the buffer
  unsigned events;             // under the lock, as the next one
  uint64_t committed[EVENTS];  // oldest first
};

struct scheduler {
  struct fake *fake;
};

bool HOOK(cluster_specifier_select)(const void *plan, envoy_specifier);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t committed = PTHREAD_COND_INITIALIZER;
static struct buffer logged;

static void drop(struct span text) { free((char *)text.data); }

struct fake *fake_new(struct fake *stream) {
  struct fake *fake = allocate(sizeof *fake);
  memset(fake, 0, sizeof *fake);
  fake->stream = stream;
  return fake;
}

static void clear(struct headers *headers) {
  for (size_t at = 0; at < headers->count; at++) drop(headers->all[at].key), drop(headers->all[at].value);
  headers->count = 0;
}

static void clear_body(struct body *body) {
  for (size_t at = 0; at < body->count; at++) drop(body->slices[at]);
  body->count = 0;
  body->there = false;
}

void fake_free(struct fake *fake) {
  for (int type = 0; type < MAPS; type++) clear(&fake->headers[type]);
  for (int type = 0; type < BODIES; type++) clear_body(&fake->bodies[type]);
  clear(&fake->state);
  clear(&fake->clusters);
  drop(fake->chosen);
  drop(fake->metadata);
  buffer_free(&fake->response);
  free(fake);
}

static struct headers *headers_of(struct fake *fake, int type) {
  bool shared = fake->stream && (type == REQUEST_HEADERS || type == REQUEST_TRAILERS);
  return &(shared ? fake->stream : fake)->headers[type];
}

static void add(struct headers *headers, struct span key, struct span value) {
  if (headers->count == MOST) abort();
  headers->all[headers->count++] = (struct header){exact_copy(key), exact_copy(value)};
}

void fake_add_header(struct fake *fake, int type, struct span key, struct span value) {
  add(headers_of(fake, type), key, value);
}

void fake_clear_headers(struct fake *fake, int type) { clear(headers_of(fake, type)); }

void fake_put_headers(struct fake *fake, int type, struct buffer *answer) {
  const struct headers *headers = headers_of(fake, type);
  for (size_t at = 0; at < headers->count; at++) {
    put_text(answer, headers->all[at].key);
    put_text(answer, headers->all[at].value);
  }
}

void fake_set_metadata(struct fake *fake, struct span text) {
  drop(fake->metadata);
  fake->metadata = text.data ? exact_copy(text) : NO_SPAN;
}

void fake_add_body(struct fake *fake, int type, struct span slice) {
  struct body *body = &fake->bodies[type];
  body->there = true;
  if (slice.size == 0) return;
  if (body->count == MOST) abort();
  body->slices[body->count++] = exact_copy(slice);
}

void fake_move_body(struct fake *fake, int from, int to) {
  struct body *source = &fake->bodies[from];
  if (source->there) fake_add_body(fake, to, NO_SPAN);
  for (size_t at = 0; at < source->count; at++) fake_add_body(fake, to, source->slices[at]);
  clear_body(source);
}

void fake_take_body(struct fake *fake, int type, struct buffer *into) {
  struct body *body = &fake->bodies[type];
  for (size_t at = 0; at < body->count; at++) buffer_add(into, body->slices[at]);
  clear_body(body);
}

struct span fake_state(const struct fake *fake, struct span key) {
  const struct headers *state = &(fake->stream ? fake->stream : fake)->state;
  for (size_t at = 0; at < state->count; at++) {
    if (span_is(state->all[at].key, key)) return state->all[at].value;
  }
  return NO_SPAN;
}

void fake_put_response(const struct fake *fake, struct buffer *answer) {
  buffer_add(answer, buffer_span(&fake->response));
}

// A line of `<cluster>=<living hosts>` for each.
static void set_clusters(struct fake *fake, struct span lines) {
  clear(&fake->clusters);
  while (lines.size) {
    struct span count = span_next(&lines, '\n'), name = span_next(&count, '=');
    add(&fake->clusters, name, count);
  }
}

static struct request *fake_request(struct fake *fake) {
  struct request *request = request_of(fake);
  if (request) request_release(request);
  return request;
}

struct span fake_choose(struct fake *fake, const void *plan, uint64_t random, bool connected, struct span clusters) {
  fake->random = random;
  fake->connected = connected;
  set_clusters(fake, clusters);
  // Resets the filter state, because streams share a random value here.
  request_routes(fake_request(fake));
  HOOK(cluster_specifier_select)(plan, fake);
  request_routes(NULL);
  return fake->chosen;
}

unsigned fake_answered(const struct fake *fake) { return fake->answered; }

unsigned fake_continued(const struct fake *fake) { return fake->continued; }

uint64_t fake_limit(const struct fake *fake) { return fake->limit; }

bool fake_await(struct fake *fake, unsigned timeout_ms, uint64_t *event) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += timeout_ms / 1000;
  pthread_mutex_lock(&lock);
  int failed = 0;
  while (!fake->events && !failed) failed = pthread_cond_timedwait(&committed, &lock, &until);
  if (!failed) {
    *event = fake->committed[0];
    memmove(fake->committed, fake->committed + 1, --fake->events * sizeof *event);
  }
  pthread_mutex_unlock(&lock);
  return !failed;
}

bool fake_take(struct fake *fake, uint64_t event) {
  pthread_mutex_lock(&lock);
  unsigned at = 0;
  while (at < fake->events && fake->committed[at] != event) at++;
  bool found = at < fake->events;
  if (found) memmove(fake->committed + at, fake->committed + at + 1, (--fake->events - at) * sizeof event);
  pthread_mutex_unlock(&lock);
  return found;
}

void CALLBACK(log)(int level, struct span message) {
  (void)level;
  fprintf(stderr, "%.*s\n", (int)message.size, message.data);
  pthread_mutex_lock(&lock);
  put_text(&logged, message);
  pthread_cond_broadcast(&committed);
  pthread_mutex_unlock(&lock);
}

void fake_take_logged(struct buffer *answer) {
  pthread_mutex_lock(&lock);
  buffer_add(answer, buffer_span(&logged));
  buffer_free(&logged);
  pthread_mutex_unlock(&lock);
}

bool CALLBACK(http_get_header)(envoy_filter filter, int type, struct span key, struct span *value, size_t index,
                               size_t *count) {
  const struct headers *headers = headers_of(filter, type);
  size_t found = 0;
  for (size_t at = 0; at < headers->count; at++) {
    if (span_is(headers->all[at].key, key) && found++ == index) *value = headers->all[at].value;
  }
  if (count) *count = found;
  return found > index;
}

size_t CALLBACK(http_get_headers_size)(envoy_filter filter, int type) { return headers_of(filter, type)->count; }

bool CALLBACK(http_get_headers)(envoy_filter filter, int type, struct header *into) {
  const struct headers *headers = headers_of(filter, type);
  memcpy(into, headers->all, headers->count * sizeof *into);
  return true;
}

size_t CALLBACK(early_header_mutation_get_headers_size)(envoy_mutation mutation) {
  return CALLBACK(http_get_headers_size)(mutation, REQUEST_HEADERS);
}

bool CALLBACK(early_header_mutation_get_headers)(envoy_mutation mutation, struct header *into) {
  return CALLBACK(http_get_headers)(mutation, REQUEST_HEADERS, into);
}

bool CALLBACK(early_header_mutation_remove_header)(envoy_mutation mutation, struct span key) {
  return CALLBACK(http_set_header)(mutation, REQUEST_HEADERS, key, NO_SPAN);
}

bool CALLBACK(http_set_header)(envoy_filter filter, int type, struct span key, struct span value) {
  struct headers *headers = headers_of(filter, type), old = *headers;
  headers->count = 0;
  for (size_t at = 0; at < old.count; at++) {
    if (!span_is(old.all[at].key, key)) add(headers, old.all[at].key, old.all[at].value);
  }
  if (value.data) add(headers, key, value);
  clear(&old);
  return true;
}

size_t CALLBACK(http_get_body_size)(envoy_filter filter, int type) {
  const struct body *body = &((struct fake *)filter)->bodies[type];
  size_t size = 0;
  for (size_t at = 0; at < body->count; at++) size += body->slices[at].size;
  return size;
}

size_t CALLBACK(http_get_body_chunks_size)(envoy_filter filter, int type) {
  return ((struct fake *)filter)->bodies[type].count;
}

bool CALLBACK(http_get_body_chunks)(envoy_filter filter, int type, struct span *into) {
  const struct body *body = &((struct fake *)filter)->bodies[type];
  memcpy(into, body->slices, body->count * sizeof *into);
  return body->there;
}

bool CALLBACK(http_append_body)(envoy_filter filter, int type, struct span data) {
  struct fake *fake = filter;
  bool buffered = type == BUFFERED_REQUEST || type == BUFFERED_RESPONSE;
  if (!fake->bodies[type].there && !buffered) return false;
  fake_add_body(fake, type, data);
  return true;
}

bool CALLBACK(http_drain_body)(envoy_filter filter, int type, size_t bytes) {
  struct fake *fake = filter;
  if (!fake->bodies[type].there) return false;
  struct buffer all = {0};
  fake_take_body(fake, type, &all);
  fake_add_body(fake, type, span_from(buffer_span(&all), bytes < all.size ? bytes : all.size));
  buffer_free(&all);
  return true;
}

void CALLBACK(http_set_buffer_limit)(envoy_filter filter, uint64_t bytes) { ((struct fake *)filter)->limit = bytes; }

bool CALLBACK(http_get_metadata_string)(envoy_filter filter, int source, struct span space, struct span key,
                                        struct span *value) {
  struct fake *fake = filter;
  bool asked = source == METADATA_HOST && span_is(space, SPAN("trunkline")) && span_is(key, SPAN("dress"));
  if (!asked || !fake->metadata.data) return false;
  *value = fake->metadata;
  return true;
}

bool CALLBACK(http_set_filter_state_bytes)(envoy_filter filter, struct span key, struct span value) {
  struct fake *fake = filter;
  add(&(fake->stream ? fake->stream : fake)->state, key, value);
  return true;
}

bool CALLBACK(http_get_filter_state_bytes)(envoy_filter filter, struct span key, struct span *value) {
  *value = fake_state(filter, key);
  return value->data != NULL;
}

void CALLBACK(http_send_response_headers)(envoy_filter filter, struct header *headers, size_t count, bool last) {
  (void)count, (void)last;
  uint64_t status;
  if (span_number(headers[0].value, &status)) ((struct fake *)filter)->answered = (unsigned)status;
}

bool CALLBACK(http_filter_get_attribute_string)(envoy_filter filter, int attribute, struct span *value) {
  struct fake *fake = filter;
  return CALLBACK(cluster_specifier_get_attribute_string)(fake->stream ? fake->stream : fake, attribute, value);
}

bool CALLBACK(cluster_specifier_get_attribute_string)(envoy_specifier specifier, int attribute, struct span *value) {
  (void)attribute;
  if (!((struct fake *)specifier)->connected) return false;
  *value = SPAN("127.0.0.1:1");
  return true;
}

bool CALLBACK(cluster_specifier_get_cluster_host_count)(envoy_specifier specifier, struct span cluster,
                                                        uint32_t priority, size_t *all, size_t *healthy,
                                                        size_t *degraded) {
  (void)priority, (void)degraded;
  const struct headers *clusters = &((struct fake *)specifier)->clusters;
  for (size_t at = 0; at < clusters->count; at++) {
    uint64_t count;
    if (!span_is(clusters->all[at].key, cluster) || !span_number(clusters->all[at].value, &count)) continue;
    if (all) *all = count;
    if (healthy) *healthy = count;
    return true;
  }
  return false;
}

uint64_t CALLBACK(cluster_specifier_get_random_value)(envoy_specifier specifier) {
  return ((struct fake *)specifier)->random;
}

void CALLBACK(cluster_specifier_set_cluster_name)(envoy_specifier specifier, struct span name) {
  struct fake *fake = specifier;
  drop(fake->chosen);
  fake->chosen = exact_copy(name);
}

void CALLBACK(http_send_response)(envoy_filter filter, uint32_t status, struct header *headers, size_t count,
                                  struct span body, struct span details) {
  struct buffer *response = &((struct fake *)filter)->response;
  put_number(response, status);
  put_text(response, details);
  put_text(response, body);
  for (size_t at = 0; at < count; at++) put_text(response, headers[at].key), put_text(response, headers[at].value);
}

void CALLBACK(http_clear_route_cache)(envoy_filter filter) { (void)filter; }

void CALLBACK(http_filter_reset_stream)(envoy_filter filter, int reason, struct span details) {
  struct fake *fake = filter;
  if (reason != RESET_LOCAL) abort();
  fake->response.size = 0;
  put_text(&fake->response, SPAN("reset"));
  put_text(&fake->response, details);
}

void CALLBACK(http_filter_continue_decoding)(envoy_filter filter) { ((struct fake *)filter)->continued++; }

envoy_scheduler CALLBACK(http_filter_scheduler_new)(envoy_filter filter) {
  struct scheduler *scheduler = allocate(sizeof *scheduler);
  scheduler->fake = filter;
  return scheduler;
}

void CALLBACK(http_filter_scheduler_commit)(envoy_scheduler scheduler, uint64_t event) {
  struct fake *fake = ((struct scheduler *)scheduler)->fake;
  pthread_mutex_lock(&lock);
  if (fake->events == EVENTS) abort();
  fake->committed[fake->events++] = event;
  pthread_cond_broadcast(&committed);
  pthread_mutex_unlock(&lock);
}

void CALLBACK(http_filter_scheduler_delete)(envoy_scheduler scheduler) { free(scheduler); }
