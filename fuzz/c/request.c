// The head of the translator's answer: it is refused, or every part of what is done by it stands in it.

#include "request.h"

#include "fake.h"
#include "fuzz.h"

static bool is_within(struct span part, struct span whole) {
  return part.size == 0 || (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span head = exact_copy((struct span){(const char *)data, size});
  struct fake *fake = fake_new(NULL);
  struct request *request = request_new(head, fake);
  free((char *)head.data);
  if (request) {
    struct span kept = buffer_span(&request->answer);
    HOLDS(kept.size == size && (size == 0 || memcmp(kept.data, data, size) == 0));
    HOLDS(is_within(request->path, kept) && is_within(request->client_headers, kept));
    HOLDS(is_within(request->model.text, kept) && is_within(request->usage.text, kept));
    HOLDS(!request->wants_usage || request->usage.text.size <= kept.size);
    struct request *same = request_of(fake);
    HOLDS(same == request);
    request_failed(request, SPAN("500"));
    request_log(request, fake);
    request_release(same);
    request_release(request);
  }
  fake_free(fake);
  return 0;
}
