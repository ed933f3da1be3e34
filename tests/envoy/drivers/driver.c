// Commands come from standard input and their answers go to standard output, each behind its length in 32 bits.

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *why) {
  fprintf(stderr, "driver: %s\n", why);
  exit(2);
}

struct span next_text(struct span *command) {
  uint32_t size;
  if (command->size < sizeof size) fail("the command is too short");
  memcpy(&size, command->data, sizeof size);
  if (command->size - sizeof size < size) fail("the command is too short");
  struct span text = span_between(*command, sizeof size, sizeof size + size);
  *command = span_from(*command, sizeof size + size);
  return text;
}

uint64_t next_number(struct span *command) {
  uint64_t number;
  if (!span_number(next_text(command), &number)) fail("this is no number");
  return number;
}

bool has_next(const struct span *command) { return command->size > 0; }

void put_text(struct buffer *answer, struct span text) {
  uint32_t size = (uint32_t)text.size;
  buffer_add(answer, (struct span){(const char *)&size, sizeof size});
  buffer_add(answer, text);
}

void put_number(struct buffer *answer, uint64_t number) {
  struct buffer text = {0};
  buffer_add_number(&text, number);
  put_text(answer, buffer_span(&text));
  buffer_free(&text);
}

struct span exact_copy(struct span text) {
  char *copy = allocate(text.size ? text.size : 1);
  if (text.size) memcpy(copy, text.data, text.size);
  return (struct span){copy, text.size};
}

void free_copy(struct span copy) { free((char *)copy.data); }

static bool read_all(void *into, size_t size) { return size == 0 || fread(into, size, 1, stdin) == 1; }

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    void (*driver)(struct span, struct buffer *);
  } DRIVERS[] = {{"bytes", bytes_driver},
                 {"table", table_driver},
                 {"frames", frames_driver},
                 {"answers", answers_driver},
                 {"connection", connection_driver},
                 {"filters", filters_driver},
                 {"held", held_driver},
                 {"plan", plan_driver},
                 {"hosts", hosts_driver},
                 {"advice", advice_driver},
                 {"peek", peek_driver},
                 {"redact", redact_driver},
                 {"pool", pool_driver},
                 {"quota", quota_driver}};
  void (*driver)(struct span, struct buffer *) = NULL;
  for (size_t at = 0; count == 2 && at < sizeof DRIVERS / sizeof *DRIVERS; at++) {
    if (strcmp(arguments[1], DRIVERS[at].name) == 0) driver = DRIVERS[at].driver;
  }
  if (!driver) fail("there is no such driver");
  uint32_t size;
  while (read_all(&size, sizeof size)) {
    char *command = allocate(size ? size : 1);
    if (!read_all(command, size)) fail("half a command");
    struct buffer answer = {0};
    driver((struct span){command, size}, &answer);
    uint32_t answered = (uint32_t)answer.size;
    fwrite(&answered, sizeof answered, 1, stdout);
    fwrite(answer.data ? answer.data : "", answer.size, 1, stdout);
    fflush(stdout);
    buffer_free(&answer);
    free(command);
  }
  return 0;
}
