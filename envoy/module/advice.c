#include "advice.h"

static const struct span REMAINING = SPAN("remaining"), RESET = SPAN("reset"), LIMIT = SPAN("limit");
static const struct span TOKENS = SPAN("token"), RATELIMIT = SPAN("ratelimit");
static const struct span PREFIXES[] = {SPAN("x-ratelimit-"), SPAN("anthropic-ratelimit-"), SPAN("ratelimit-")};
static const uint64_t SECOND_MS = 1000, DAY_MS = 86400000;
// More than any number that is compared. A longer one counts as this.
static const uint64_t LARGEST = 1000000000000;

static const struct header *find(const struct header *headers, size_t count, struct span key) {
  for (size_t at = 0; at < count; at++) {
    if (span_is(headers[at].key, key)) return &headers[at];
  }
  return NULL;
}

static bool takes(struct span *text, struct span word) {
  if (!span_begins(*text, word)) return false;
  *text = span_from(*text, word.size);
  return true;
}

// Takes the leading digits off `text`. The number is at most LARGEST.
static bool take_number(struct span *text, uint64_t *number) {
  size_t size = 0;
  uint64_t value = 0;
  for (; size < text->size && text->data[size] >= '0' && text->data[size] <= '9'; size++) {
    value = value * 10 + (uint64_t)(text->data[size] - '0');
    if (value > LARGEST) value = LARGEST;
  }
  *number = value;
  *text = span_from(*text, size);
  return size > 0;
}

// Takes a decimal number such as 1.5, in thousandths.
static bool take_decimal(struct span *text, uint64_t *thousandths) {
  uint64_t whole, digit, scale = 100;
  if (!take_number(text, &whole)) return false;
  *thousandths = whole * 1000;
  if (!takes(text, SPAN("."))) return true;
  for (; text->size && span_number(span_between(*text, 0, 1), &digit); *text = span_from(*text, 1)) {
    *thousandths += digit * scale;
    scale /= 10;
  }
  return true;
}

// Computes the days since 1970-01-01 (proleptic Gregorian).
static bool days_of(uint64_t year, uint64_t month, uint64_t day, uint64_t *days) {
  static const uint16_t BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31) return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  uint64_t past = year - 1;
  *days =
      (past * 365 + past / 4 - past / 100 + past / 400) - 719162 + BEFORE[month - 1] + (leap && month > 2) + day - 1;
  return true;
}

// Takes a time of day with colons, as milliseconds of the day.
static bool take_time(struct span *text, uint64_t *ms) {
  uint64_t hours, minutes, thousandths;
  if (!take_number(text, &hours) || !takes(text, SPAN(":")) || !take_number(text, &minutes) ||
      !takes(text, SPAN(":")) || !take_decimal(text, &thousandths)) {
    return false;
  }
  *ms = (hours * 60 + minutes) * 60000 + thousandths;
  return hours < 24 && minutes < 60 && thousandths < 61000;
}

// Parses `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7, without the obsolete forms).
static bool http_date(struct span text, uint64_t *unix_ms) {
  static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  uint64_t day, month = 0, year, days, ms;
  span_next(&text, ' ');
  if (!take_number(&text, &day) || !takes(&text, SPAN(" "))) return false;
  struct span name = span_next(&text, ' ');
  for (size_t at = 0; at < 12; at++) {
    if (span_is(name, (struct span){MONTHS + 3 * at, 3})) month = at + 1;
  }
  if (!take_number(&text, &year) || !takes(&text, SPAN(" ")) || !take_time(&text, &ms)) return false;
  if (!span_is(text, SPAN(" GMT")) || !days_of(year, month, day, &days)) return false;
  *unix_ms = days * DAY_MS + ms;
  return true;
}

static bool takes_either(struct span *text, struct span first, struct span second) {
  return takes(text, first) || takes(text, second);
}

// Parses what remains of a timestamp after its time: `Z`, or hours and minutes by which that time is ahead of UTC.
static bool zone(struct span text, uint64_t *ahead_ms, uint64_t *behind_ms) {
  uint64_t hours, minutes;
  *ahead_ms = *behind_ms = 0;
  if (takes_either(&text, SPAN("Z"), SPAN("z"))) return !text.size;
  uint64_t *ms = takes(&text, SPAN("+")) ? ahead_ms : takes(&text, SPAN("-")) ? behind_ms : NULL;
  if (!ms || !take_number(&text, &hours) || !takes(&text, SPAN(":")) || !take_number(&text, &minutes)) return false;
  *ms = (hours * 60 + minutes) * 60 * SECOND_MS;
  return !text.size && hours < 24 && minutes < 60;
}

// Parses `2026-01-01T12:00:00Z` (RFC 3339).
static bool timestamp(struct span text, uint64_t *unix_ms) {
  uint64_t year, month, day, days, ms, ahead, behind;
  if (!take_number(&text, &year) || !takes(&text, SPAN("-")) || !take_number(&text, &month) ||
      !takes(&text, SPAN("-")) || !take_number(&text, &day) ||
      !(takes_either(&text, SPAN("T"), SPAN("t")) || takes(&text, SPAN(" "))) || !take_time(&text, &ms) ||
      !zone(text, &ahead, &behind) || !days_of(year, month, day, &days)) {
    return false;
  }
  uint64_t moment = days * DAY_MS + ms + behind;
  *unix_ms = moment > ahead ? moment - ahead : 0;
  return true;
}

// Parses `1h6m0.5s`, `120ms`, `2d` or `20`.
static bool duration(struct span text, uint64_t *ms) {
  uint64_t total = 0, part;
  if (!text.size) return false;
  while (text.size) {
    if (!take_decimal(&text, &part)) return false;
    if (takes(&text, SPAN("ms"))) {
      part /= 1000;
    } else if (takes_either(&text, SPAN("us"), SPAN("\xC2\xB5s")) || takes(&text, SPAN("ns"))) {
      part = 0;
    } else if (takes(&text, SPAN("d"))) {
      part = part < LARGEST ? part * 86400 : LARGEST;
    } else if (takes(&text, SPAN("h"))) {
      part = part < LARGEST ? part * 3600 : LARGEST;
    } else if (takes(&text, SPAN("m"))) {
      part = part < LARGEST ? part * 60 : LARGEST;
    } else if (!takes(&text, SPAN("s")) && text.size) {
      return false;
    }
    total += part;
    if (total > LARGEST) total = LARGEST;
  }
  *ms = total;
  return true;
}

static bool is_number(struct span text, uint64_t *thousandths) {
  return take_decimal(&text, thousandths) && !text.size;
}

// Parses a Unix time in seconds, perhaps with a fraction, or in thousandths or millionths of a second.
static bool unix_time(struct span text, uint64_t *unix_ms) {
  enum { UNIX_SECONDS = 1000000000 };
  uint64_t number;
  if (!span_number(text, &number)) {
    return is_number(text, unix_ms) && *unix_ms >= UNIX_SECONDS * SECOND_MS && *unix_ms < LARGEST * SECOND_MS;
  }
  if (number < UNIX_SECONDS) return false;
  while (number >= LARGEST * 1000) number /= 1000;
  *unix_ms = number / 1000 >= UNIX_SECONDS ? number : number * SECOND_MS;
  return true;
}

// Returns the wait until a moment.
static uint64_t wait_for(uint64_t moment_ms, uint64_t unix_ms) {
  return moment_ms > unix_ms ? moment_ms - unix_ms : SHORTEST_WAIT_MS;
}

// Parses a reset: a duration, a moment, or a Unix time. A number for a Unix time long ago is one of seconds.
static bool wait_of(struct span text, uint64_t unix_ms, uint64_t *ms) {
  uint64_t moment;
  if (!unix_time(text, &moment) || moment + DAY_MS < unix_ms) {
    if (duration(text, ms)) {
      if (!*ms) *ms = 1;  // 0 means that nothing is known
      return true;
    }
    if (!timestamp(text, &moment) && !http_date(text, &moment)) return false;
  }
  *ms = wait_for(moment, unix_ms);
  return true;
}

// Returns the value of the header that is named like `key`, with `word` in place of `remaining`.
static struct span beside(const struct header *headers, size_t count, struct span key, size_t place, struct span word) {
  struct buffer name = {0};
  buffer_add(&name, span_between(key, 0, place));
  buffer_add(&name, word);
  buffer_add(&name, span_from(key, place + REMAINING.size));
  const struct header *found = find(headers, count, buffer_span(&name));
  buffer_free(&name);
  return found ? found->value : NO_SPAN;
}

bool advice_is_of_quota(struct span key) {
  for (size_t at = 0; at < sizeof PREFIXES / sizeof *PREFIXES; at++) {
    if (span_begins(key, PREFIXES[at])) return true;
  }
  return false;
}

// Returns whether `remaining` thousandths of a quota are enough to rely on. `limit` is 0 if unknown.
static bool suffices(struct span key, uint64_t remaining, uint64_t limit, struct need need) {
  if (!remaining) return false;
  if (span_find(key, TOKENS, 0) < 0) return remaining >= need.requests * 1000;
  return remaining / 1000 >= need.tokens || !limit || remaining >= limit / 20;
}

// Writes the name of what a quota counts: `key` without the parts that all such names have in common.
static void name_metric(struct span key, size_t place, char *into) {
  struct span before = span_between(key, 0, place), after = span_from(key, place + REMAINING.size);
  for (size_t at = 0; at < sizeof PREFIXES / sizeof *PREFIXES; at++) {
    if (!span_begins(before, PREFIXES[at])) continue;
    before = span_from(before, PREFIXES[at].size);
    break;
  }
  struct span part = after.size ? after : before;
  size_t size = 0;
  for (size_t at = 0; at < part.size && size + 1 < LONGEST_METRIC; at++) {
    char byte = part.data[at];
    bool plain = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || (byte == '-' && size);
    if (plain) into[size++] = byte;
  }
  if (size && into[size - 1] == '-') size--;
  into[size] = 0;
  if (!size) memcpy(into, "requests", sizeof "requests");
}

// Records the remainder of a quota.
static void keep(struct advice *advice, struct span key, size_t place, uint64_t remaining, uint64_t limit,
                 uint64_t ms) {
  if (advice->quota_count == MAX_LEFT) return;
  struct left *left = &advice->quotas[advice->quota_count++];
  *left = (struct left){.limit = limit / 1000, .remaining = remaining / 1000, .wait_ms = ms};
  if (left->wait_ms > LONGEST_WAIT_MS) left->wait_ms = LONGEST_WAIT_MS;
  name_metric(key, place, left->metric);
}

struct advice advice_of(const struct header *headers, size_t count, struct need need, uint64_t unix_ms) {
  struct advice advice = {0};
  uint64_t until_reset = 0, ms;
  for (size_t at = 0; at < count; at++) {
    struct span key = headers[at].key;
    ptrdiff_t place = span_find(key, RATELIMIT, 0) < 0 ? -1 : span_find(key, REMAINING, 0);
    uint64_t remaining, limit = 0;
    if (place < 0 || !is_number(headers[at].value, &remaining)) continue;
    if (is_number(beside(headers, count, key, (size_t)place, LIMIT), &limit) && !limit) continue;
    if (!wait_of(beside(headers, count, key, (size_t)place, RESET), unix_ms, &ms)) ms = 0;
    keep(&advice, key, (size_t)place, remaining, limit, ms);
    if (suffices(key, remaining, limit, need)) continue;
    advice.exhausted = true;
    if (ms > until_reset) until_reset = ms;
  }
  const struct header *exact = find(headers, count, SPAN("retry-after-ms"));
  const struct header *after = find(headers, count, SPAN("retry-after"));
  uint64_t number;
  bool stated = exact && span_number(exact->value, &number);
  if (stated) {
    ms = number;
  } else {
    stated = after && wait_of(after->value, unix_ms, &ms);
  }
  if (!stated) {
    ms = until_reset;
    stated = until_reset > 0;
  }
  if (stated) advice.wait_ms = ms < SHORTEST_WAIT_MS ? SHORTEST_WAIT_MS : ms > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : ms;
  return advice;
}
