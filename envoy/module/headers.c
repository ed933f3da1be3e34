#include "headers.h"

#include <stdlib.h>

void header_list(envoy_filter filter, int type, struct header_list *list) {
  list->count = CALLBACK(http_get_headers_size)(filter, type);
  bool fits = list->count <= sizeof list->few / sizeof *list->few;
  list->all = fits ? list->few : allocate(list->count * sizeof *list->all);
  if (list->count && !CALLBACK(http_get_headers)(filter, type, list->all)) list->count = 0;
}

struct span header_of(const struct header_list *list, struct span key) {
  for (size_t at = 0; at < list->count; at++) {
    if (span_is(list->all[at].key, key)) return list->all[at].value;
  }
  return NO_SPAN;
}

void header_list_free(struct header_list *list) {
  if (list->all != list->few) free(list->all);
}

void header_lines(struct span text, struct header_lines *lines) {
  size_t most = 1;
  for (struct span rest = text; rest.size; most++) span_next(&rest, '\n');
  bool fits = most <= sizeof lines->few / sizeof *lines->few;
  lines->all = fits ? lines->few : allocate(most * sizeof *lines->all);
  lines->count = 0;
  while (text.size) {
    struct span value = span_next(&text, '\n'), name = span_next(&value, ':');
    if (value.size && value.data[0] == ' ') value = span_from(value, 1);
    if (name.size) lines->all[lines->count++] = (struct header){name, value};
  }
}

void header_lines_free(struct header_lines *lines) {
  if (lines->all != lines->few) free(lines->all);
}

void body_slices(envoy_filter filter, int type, struct slices *slices) {
  slices->count = CALLBACK(http_get_body_chunks_size)(filter, type);
  bool fits = slices->count <= sizeof slices->few / sizeof *slices->few;
  slices->all = fits ? slices->few : allocate(slices->count * sizeof *slices->all);
  if (slices->count && !CALLBACK(http_get_body_chunks)(filter, type, slices->all)) slices->count = 0;
}

void slices_free(struct slices *slices) {
  if (slices->all != slices->few) free(slices->all);
}

void body_copy(envoy_filter filter, int type, struct buffer *into) {
  struct slices slices;
  body_slices(filter, type, &slices);
  for (size_t at = 0; at < slices.count; at++) buffer_add(into, slices.all[at]);
  slices_free(&slices);
}

void body_replace(envoy_filter filter, int type, struct span data) {
  CALLBACK(http_drain_body)(filter, type, CALLBACK(http_get_body_size)(filter, type));
  if (data.size) CALLBACK(http_append_body)(filter, type, data);
}

void headers_set(envoy_filter filter, int type, struct span text) {
  struct header_lines lines;
  header_lines(text, &lines);
  for (size_t at = 0; at < lines.count; at++) header_set(filter, type, lines.all[at].key, lines.all[at].value);
  header_lines_free(&lines);
}
