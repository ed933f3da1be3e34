#include "table.h"

#include "driver.h"

// Operations until the end of the command: put <number> | remove <number> | find <number>. What is put is a number that
// counts the operations; `find` answers with it, or with 0. At last the count.
void table_driver(struct span command, struct buffer *answer) {
  struct table table = {0};
  for (uintptr_t operation = 1; has_next(&command); operation++) {
    struct span what = next_text(&command);
    uint64_t number = next_number(&command);
    if (span_is(what, SPAN("put"))) {
      table_put(&table, number, (void *)operation);
    } else if (span_is(what, SPAN("remove"))) {
      table_remove(&table, number);
    } else {
      put_number(answer, (uintptr_t)table_find(&table, number));
    }
  }
  put_number(answer, table.count);
  table_free(&table);
}
