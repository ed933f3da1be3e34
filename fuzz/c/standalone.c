// For compilers without libFuzzer: runs the files and directories that it is given, then, for `-seconds=N`, changes of
// them at random. It writes what it runs to `-last=FILE` first, so that an input that ends the process is there.
// `-seed=N` repeats a run.

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "fuzz.h"

enum { MAX_INPUTS = 4096, LONGEST_INPUT = 1 << 16, MAX_CHANGES = 8 };

static struct span inputs[MAX_INPUTS];
static size_t count;
static uint64_t state = 88172645463325252u;
static const char *last;

static uint64_t dice(uint64_t sides) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return sides ? state % sides : 0;
}

static void run(struct span input) {
  if (last) {
    FILE *file = fopen(last, "wb");
    if (file) fwrite(input.size ? input.data : "", 1, input.size, file), fclose(file);
  }
  LLVMFuzzerTestOneInput((const uint8_t *)input.data, input.size);
}

static void add_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || count == MAX_INPUTS) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  struct buffer text = {0};
  char block[4096];
  for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;) buffer_add(&text, (struct span){block, got});
  fclose(file);
  inputs[count++] = exact_copy(buffer_span(&text));
  buffer_free(&text);
}

static void add(const char *path) {
  struct stat found;
  if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) {
    add_file(path);
    return;
  }
  DIR *directory = opendir(path);
  for (struct dirent *entry; directory && (entry = readdir(directory));) {
    char name[4096];
    if (entry->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    add(name);
  }
  if (directory) closedir(directory);
}

// One of the inputs with some bytes changed, taken out, repeated, or taken from another one.
static struct span changed(void) {
  struct buffer text = {0};
  buffer_add(&text, inputs[dice(count)]);
  for (uint64_t change = dice(MAX_CHANGES) + 1; change > 0; change--) {
    struct span other = inputs[dice(count)];
    size_t at = dice(text.size + 1), size = dice(text.size - at + 1);
    struct buffer fresh = {0};
    buffer_add(&fresh, span_between(buffer_span(&text), 0, at));
    switch (dice(5)) {
      case 0:  // taken out
        break;
      case 1:  // one byte
        size = at < text.size;
        buffer_add(&fresh, (struct span){(char[]){(char)dice(256)}, 1});
        break;
      case 2:  // twice
        buffer_add(&fresh, span_between(buffer_span(&text), at, at + size));
        size = 0;
        break;
      default: {  // from another
        size_t start = dice(other.size + 1);
        buffer_add(&fresh, span_between(other, start, start + dice(other.size - start + 1)));
        size = dice(2) ? size : 0;
      }
    }
    buffer_add(&fresh, span_from(buffer_span(&text), at + size));
    buffer_free(&text);
    text = fresh;
    if (text.size > LONGEST_INPUT) text.size = LONGEST_INPUT;
  }
  struct span input = exact_copy(buffer_span(&text));
  buffer_free(&text);
  return input;
}

int main(int argument_count, char **arguments) {
  double seconds = 0;
  for (int at = 1; at < argument_count; at++) {
    if (strncmp(arguments[at], "-seconds=", 9) == 0) {
      seconds = strtod(arguments[at] + 9, NULL);
    } else if (strncmp(arguments[at], "-seed=", 6) == 0) {
      state += strtoull(arguments[at] + 6, NULL, 10);
    } else if (strncmp(arguments[at], "-last=", 6) == 0) {
      last = arguments[at] + 6;
    } else {
      add(arguments[at]);
    }
  }
  if (count == 0) inputs[count++] = exact_copy(SPAN(""));
  for (size_t at = 0; at < count; at++) run(inputs[at]);
  uint64_t runs = count;
  for (time_t end = time(NULL) + (time_t)seconds; seconds > 0 && time(NULL) < end; runs++) {
    struct span input = changed();
    run(input);
    if (count < MAX_INPUTS && dice(1024) == 0) {
      inputs[count++] = input;
    } else {
      free((char *)input.data);
    }
  }
  for (size_t at = 0; at < count; at++) free((char *)inputs[at].data);
  if (last) remove(last);
  printf("%llu runs\n", (unsigned long long)runs);
  return 0;
}
