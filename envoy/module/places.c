#include "places.h"

#include "facts.h"

static const struct scan_rule TOP_RULES[] = {
    {SPAN("usage"), REPORT, REPORT_USAGE, ANYWHERE},
    {SPAN("choices"), LIST, CHOICES, ANYWHERE},
    {SPAN("service_tier"), WORD, WORD_TIER, ANYWHERE},
    {SPAN("error"), CONTENT, ERROR_CONTENT, ANYWHERE},
    {SPAN("delta"), GENERATED, 0, IN_EVENTS},  // of the Responses API, and of a transcription
    {SPAN("type"), TYPE, 0, IN_EVENTS},
    {SPAN("response"), ENTER, RESPONSE, IN_EVENTS},
    {SPAN("x_groq"), ENTER, X_GROQ, ANYWHERE},
    {SPAN("usageMetadata"), REPORT, REPORT_USAGE, ANYWHERE},
    {SPAN("usage_metadata"), REPORT, REPORT_USAGE, ANYWHERE},
    {SPAN("message"), ENTER, MESSAGE, IN_EVENTS},
    {SPAN("timings"), REPORT, REPORT_TIMINGS, ANYWHERE},
    {SPAN("data"), LIST, DATA, IN_ANSWERS},
    {SPAN("output"), LIST, OUTPUT, IN_ANSWERS},
    {SPAN("text"), GENERATED, 0, IN_ANSWERS},
    {SPAN("meta"), ENTER, META, IN_ANSWERS},
    {SPAN("duration"), WORD, WORD_SECONDS, ANYWHERE},
    {SPAN("size"), WORD, WORD_SIZE, ANYWHERE},
    {SPAN("quality"), WORD, WORD_QUALITY, ANYWHERE},
    {SPAN("b64_json"), IMAGE, 0, IN_EVENTS},
    {SPAN("citations"), CONTENT, 0, IN_EVENTS},
    {SPAN("search_results"), CONTENT, 0, IN_EVENTS},
    {SPAN("images"), CONTENT, 0, IN_EVENTS},
    {SPAN("videos"), CONTENT, 0, IN_EVENTS},
    {SPAN("related_questions"), CONTENT, 0, IN_EVENTS},
    {SPAN("web_search"), CONTENT, 0, IN_EVENTS},
    {SPAN("prompt_filter_results"), CONTENT, 0, IN_EVENTS},
    {SPAN("id"), ID, 0, IN_ANSWERS},
};
static const struct scan_rule RESPONSE_RULES[] = {
    {SPAN("usage"), REPORT, REPORT_USAGE, ANYWHERE},
    {SPAN("service_tier"), WORD, WORD_TIER, ANYWHERE},
    {SPAN("id"), ID, 0, ANYWHERE},
};
static const struct scan_rule MESSAGE_RULES[] = {{SPAN("usage"), REPORT, REPORT_START, ANYWHERE}};
static const struct scan_rule X_GROQ_RULES[] = {{SPAN("usage"), REPORT, REPORT_USAGE, ANYWHERE}};
static const struct scan_rule META_RULES[] = {{SPAN("billed_units"), REPORT, REPORT_BILLED_UNITS, ANYWHERE}};
static const struct scan_rule CHOICE_RULES[] = {
    {SPAN("delta"), ENTER, SAID, ANYWHERE},      {SPAN("index"), INDEX, 0, ANYWHERE},
    {SPAN("usage"), CHOICE_REPORT, 0, ANYWHERE}, {SPAN("text"), GENERATED, 0, ANYWHERE},
    {SPAN("message"), ENTER, SAID, ANYWHERE},
};
static const struct scan_rule SAID_RULES[] = {
    {SPAN("content"), GENERATED, 0, ANYWHERE},   {SPAN("reasoning_content"), GENERATED, 0, ANYWHERE},
    {SPAN("reasoning"), GENERATED, 0, ANYWHERE}, {SPAN("refusal"), GENERATED, 0, ANYWHERE},
    {SPAN("tool_calls"), LIST, CALLS, ANYWHERE}, {SPAN("function_call"), ENTER, FUNCTION, ANYWHERE},
    {SPAN("audio"), ENTER, AUDIO, ANYWHERE},
};
static const struct scan_rule CALL_RULES[] = {{SPAN("function"), ENTER, FUNCTION, ANYWHERE}};
static const struct scan_rule FUNCTION_RULES[] = {
    {SPAN("name"), GENERATED, 0, ANYWHERE},
    {SPAN("arguments"), GENERATED, 0, ANYWHERE},
};
static const struct scan_rule AUDIO_RULES[] = {{SPAN("transcript"), GENERATED, 0, ANYWHERE}};
static const struct scan_rule OUTPUT_ITEM_RULES[] = {
    {SPAN("content"), LIST, PARTS, ANYWHERE}, {SPAN("summary"), LIST, PARTS, ANYWHERE},
    {SPAN("name"), GENERATED, 0, ANYWHERE},   {SPAN("arguments"), GENERATED, 0, ANYWHERE},
    {SPAN("input"), GENERATED, 0, ANYWHERE},
};
static const struct scan_rule PART_RULES[] = {
    {SPAN("text"), GENERATED, 0, ANYWHERE},
    {SPAN("refusal"), GENERATED, 0, ANYWHERE},
};

#define MEMBERS(rules) {rules, sizeof rules / sizeof *rules, false, NOWHERE}
#define ELEMENTS(place) {NULL, 0, true, place}

const struct inside INSIDE[PLACES] = {
    [TOP] = MEMBERS(TOP_RULES),
    [RESPONSE] = MEMBERS(RESPONSE_RULES),
    [MESSAGE] = MEMBERS(MESSAGE_RULES),
    [X_GROQ] = MEMBERS(X_GROQ_RULES),
    [META] = MEMBERS(META_RULES),
    [CHOICES] = ELEMENTS(CHOICE),
    [CHOICE] = MEMBERS(CHOICE_RULES),
    [SAID] = MEMBERS(SAID_RULES),
    [CALLS] = ELEMENTS(CALL),
    [CALL] = MEMBERS(CALL_RULES),
    [FUNCTION] = MEMBERS(FUNCTION_RULES),
    [AUDIO] = MEMBERS(AUDIO_RULES),
    [OUTPUT] = ELEMENTS(OUTPUT_ITEM),
    [OUTPUT_ITEM] = MEMBERS(OUTPUT_ITEM_RULES),
    [PARTS] = ELEMENTS(PART),
    [PART] = MEMBERS(PART_RULES),
    [DATA] = ELEMENTS(NOWHERE),
};

const struct scan_rule *find_rule(enum place place, struct span name, bool is_event) {
  const struct scan_rule *rules = INSIDE[place].rules;
  for (size_t at = 0; at < INSIDE[place].count; at++) {
    struct span key = rules[at].key;
    if (key.size != name.size || key.data[0] != name.data[0] || memcmp(key.data, name.data, key.size) != 0) continue;
    return rules[at].where == (is_event ? IN_ANSWERS : IN_EVENTS) ? NULL : &rules[at];
  }
  return NULL;
}
