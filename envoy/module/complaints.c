#include "complaints.h"

#include "abi.h"

enum { SILENCE_MS = 10000 };

static const struct {
  enum log_level level;
  struct span text;
} CAUSES[] = {
    [TRANSLATOR_AWAY] = {LOG_ERROR, SPAN("the translator's socket does not accept connections: requests wait, then "
                                         "are refused with 503. Is the translator running? Its log says why not")},
    [TRANSLATOR_REFUSES] = {LOG_ERROR, SPAN("the translator closes connections without switching to our protocol: "
                                            "requests wait, then are refused with 503. Are Envoy's module and the "
                                            "translator of the same version?")},
    [TRANSLATOR_LOST] = {LOG_WARNING, SPAN("the translator closed its connection: unanswered checks are sent "
                                           "again. Its log says whether it was restarted")},
    [TRANSLATOR_NONSENSE] = {LOG_ERROR, SPAN("the translator violated the protocol: the connection is opened "
                                             "again. Are Envoy's module and the translator of the same version?")},
    [TRANSLATOR_SILENT] = {LOG_ERROR, SPAN("the translator did not answer in time: the request is refused with 503. "
                                           "Is its machine overloaded?")},
};

void complain(struct complaints *complaints, enum complaint cause, struct span detail, int64_t now_ms) {
  if (now_ms < complaints->of[cause].next_ms) {
    complaints->of[cause].left_out++;
    return;
  }
  struct buffer line = {0};
  buffer_add(&line, SPAN("trunkline authorise: "));
  buffer_add(&line, CAUSES[cause].text);
  if (detail.size) {
    buffer_add(&line, SPAN(" ("));
    buffer_add(&line, detail);
    buffer_add(&line, SPAN(")"));
  }
  if (complaints->of[cause].left_out) {
    buffer_add(&line, SPAN("; left out since the last such line: "));
    buffer_add_number(&line, complaints->of[cause].left_out);
  }
  CALLBACK(log)(CAUSES[cause].level, buffer_span(&line));
  buffer_free(&line);
  complaints->of[cause].next_ms = now_ms + SILENCE_MS;
  complaints->of[cause].left_out = 0;
}
