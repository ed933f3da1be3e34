#include "beginning.h"

// Returns whether the beginning's words are known already and no other event has changed them.
static bool is_repeated(const struct beginning *beginning, const struct facts *facts, struct span text) {
  return beginning->size && beginning->word_changes == facts->word_changes &&
         span_begins(text, (struct span){beginning->text, beginning->size});
}

static void repeat(const struct beginning *beginning, struct scanner *scanner) {
  struct buffer report = scanner->report;
  *scanner = beginning->behind;
  scanner->report = report;
}

// A beginning that contains more than words is read each time.
static void remember(struct beginning *beginning, const struct scanner *scanner, const struct facts *facts,
                     struct span text) {
  if (text.size > LONGEST_BEGINNING || scanner->has_report) return;
  memcpy(beginning->text, text.data, text.size);
  beginning->size = text.size;
  beginning->behind = *scanner;
  beginning->word_changes = facts->word_changes;
}

void beginning_read(struct beginning *beginning, struct scanner *scanner, struct facts *facts, struct span text) {
  size_t end = 0;
  if (scanner->state == SCAN_BEGIN) {
    if (is_repeated(beginning, facts, text)) {
      repeat(beginning, scanner);
      end = beginning->size;
    } else if (scanner_find_generated(scanner, facts, text, &end)) {
      remember(beginning, scanner, facts, span_between(text, 0, end));
    }
  }
  scanner_read(scanner, facts, span_from(text, end));
}
