#include "headers.h"

#include <stdlib.h>

void body_copy(envoy_filter filter, int type, struct buffer *into) {
  size_t count = CALLBACK(http_get_body_chunks_size)(filter, type);
  struct span few[16], *chunks = count <= 16 ? few : allocate(count * sizeof *chunks);
  if (count && CALLBACK(http_get_body_chunks)(filter, type, chunks)) {
    for (size_t at = 0; at < count; at++) buffer_add(into, chunks[at]);
  }
  if (chunks != few) free(chunks);
}

void body_replace(envoy_filter filter, int type, struct span data) {
  CALLBACK(http_drain_body)(filter, type, CALLBACK(http_get_body_size)(filter, type));
  if (data.size) CALLBACK(http_append_body)(filter, type, data);
}
