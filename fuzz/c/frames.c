// What the translator sends: however far it has arrived, the frames that are whole are the same, and each is made of
// its head and its body.

#include "frames.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct span input = {(const char *)data, size};
  uint32_t seed = take_byte(&input);
  struct span all = exact_copy(input), rest = all, frame;
  size_t count = 0, ends[64];
  enum frame_state state;
  while ((state = frame_next(&rest, &frame)) == FRAME_WHOLE) {
    struct reply reply = frame_reply(frame);
    HOLDS(reply.head.data >= frame.data && reply.head.data + reply.head.size == reply.body.data);
    HOLDS(reply.body.data + reply.body.size == frame.data + frame.size);
    HOLDS(frame.data + frame.size == rest.data);
    (void)frame_number(frame);
    if (count < sizeof ends / sizeof *ends) ends[count] = (size_t)(rest.data - all.data);
    count++;
  }
  HOLDS(rest.data + rest.size == all.data + all.size);

  // The part that has arrived, in a block of its own.
  size_t arrived = 0;
  for (struct span left = input; left.size;) {
    arrived += take_piece(&left, &seed).size;
    if (seed == 0 && arrived % 7) continue;  // byte by byte takes long
    struct span part = exact_copy(span_between(all, 0, arrived)), part_rest = part;
    size_t found = 0;
    enum frame_state now;
    while ((now = frame_next(&part_rest, &frame)) == FRAME_WHOLE) {
      if (found < sizeof ends / sizeof *ends) HOLDS((size_t)(part_rest.data - part.data) == ends[found]);
      found++;
    }
    HOLDS(found <= count);
    HOLDS(now == FRAME_PARTIAL || (state == FRAME_BAD && found == count));
    free((char *)part.data);
  }
  free((char *)all.data);
  return 0;
}
