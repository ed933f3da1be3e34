#include "outcome.h"

enum fate fate_of(unsigned status) {
  switch (status) {
    case 401:
    case 403:
      return FATE_REFUSED;
    case 429:
      return FATE_LIMITED;
    case 501:
    case 505:
      return FATE_UNABLE;
    default:
      return status >= 500 ? FATE_FAILED : status >= 400 ? FATE_CLIENT : FATE_SERVED;
  }
}

#define WORD(message, type, code) \
  SPAN("{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":\"" code "\"}}")

struct word last_word(const struct outcome *outcome) {
  if (outcome->status == 429) {
    return (struct word){429,
                         WORD("Every target of this model is at its own limit right now. Send the request again later.",
                              "rate_limit_error", "rate_limit_exceeded"),
                         outcome->retry_after};
  }
  if (outcome->status) {
    return (struct word){
        outcome->status,
        WORD("Every target of this model failed to serve the request.", "server_error", "upstream_error"),
        outcome->retry_after};
  }
  return (struct word){503,
                       WORD("No target of this model can be reached right now. Send the request again later.",
                            "server_error", "no_healthy_upstream"),
                       "5"};
}
