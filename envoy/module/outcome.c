#include "outcome.h"

enum fate fate_of(unsigned status, bool page, bool empty) {
  switch (status) {
    case 200:
    case 201:
    case 202:
      return page || empty ? FATE_IMPROPER : FATE_SERVED;
    case 401:
    case 402:
    case 403:
    case 498:
      return FATE_REFUSED;
    case 404:
      return page ? FATE_IMPROPER : FATE_MISSING;
    case 408:
    case 421:
    case 425:
      return FATE_FAILED;
    case 429:
      return FATE_LIMITED;
    case 501:
    case 505:
      return FATE_UNABLE;
    default:
      if (status < 400 || status > 599) return FATE_IMPROPER;
      return status >= 500 ? FATE_FAILED : page ? FATE_IMPROPER : FATE_CLIENT;
  }
}

#define WORD(message, type, code) \
  SPAN("{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":\"" code "\"}}")

struct word last_word(const struct outcome *outcome) {
  if (outcome->gone) {
    return (struct word){404,
                         WORD("The target that made this response does not serve its model any more. Send the "
                              "conversation as `input`, without `previous_response_id`.",
                              "invalid_request_error", "response_not_found"),
                         ""};
  }
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
  if (outcome->bound) {
    return (struct word){503,
                         WORD("The target that made this response cannot be reached right now, and no other one "
                              "knows it. Send the request again later, or send the conversation as `input`, without "
                              "`previous_response_id`.",
                              "server_error", "response_unreachable"),
                         "5"};
  }
  return (struct word){503,
                       WORD("No target of this model can be reached right now. Send the request again later.",
                            "server_error", "no_healthy_upstream"),
                       "5"};
}

#define REFUSED(status)                                                      \
  WORD("The target refused the gateway's own credential or account (" status \
       "). The gateway's operator has to fix this; your key is fine.",       \
       "server_error", "upstream_authentication_failed")

struct span refused_word(unsigned status) {
  switch (status) {
    case 401:
      return REFUSED("401");
    case 402:
      return REFUSED("402");
    case 403:
      return REFUSED("403");
    default:
      return REFUSED("498");
  }
}

struct span improper_word(void) {
  return WORD("The target did not send a valid answer of this endpoint. Send the request again.", "server_error",
              "upstream_invalid_answer");
}

struct span unknown_model_word(void) {
  return WORD(
      "The target does not know the model that this route requests there. The gateway's operator has to fix this.",
      "server_error", "upstream_model_not_found");
}

struct span compressed_word(void) {
  return WORD(
      "The target refused this request, and compressed its reason although the gateway had asked it not to. The "
      "gateway's operator can find the reason at the target.",
      "invalid_request_error", "upstream_error");
}

struct span page_word(void) {
  return WORD("The target failed to serve the request.", "server_error", "upstream_error");
}
