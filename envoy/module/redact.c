#include "redact.h"

#include <limits.h>
#include <string.h>

enum match { MATCH_NO, MATCH_WHOLE, MATCH_BEGUN };

static int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

// Reads the percent-encoded byte at `at`, as read_escape does.
static int read_percent(struct span text, size_t at, char *byte) {
  int value = 0;
  for (size_t digit = 1; digit <= 2; digit++) {
    if (at + digit >= text.size) return -1;
    int number = hex_digit(text.data[at + digit]);
    if (number < 0) return 0;
    value = value << 4 | number;
  }
  *byte = (char)value;
  return 3;
}

// Reads the escape at `at`, where a backslash or percent sign is: returns its length, and the byte it stands for.
// Returns 0 if it does not stand for a byte, and -1 if the text ends within it.
static int read_escape(struct span text, size_t at, char *byte) {
  if (text.data[at] == '%') return read_percent(text, at, byte);
  size_t left = text.size - at;
  if (left < 2) return -1;
  char kind = text.data[at + 1];
  if (kind == '/' || kind == '"' || kind == '\\') {
    *byte = kind;
    return 2;
  }
  if (kind != 'u') return 0;
  int value = 0;
  for (size_t digit = 0; digit < 4; digit++) {
    if (left < 3 + digit) return -1;
    int number = hex_digit(text.data[at + 2 + digit]);
    if (number < 0) return 0;
    value = value << 4 | number;
  }
  *byte = (char)value;
  return value > 0 && value < 0x80 ? 6 : 0;
}

// Returns the last of the backslashes at `at`: JSON inside of JSON escapes the backslash of an escape again.
static size_t last_backslash(struct span text, size_t at) {
  enum { MOST = 8 };
  size_t last = at;
  while (last + 1 < text.size && text.data[last + 1] == '\\' && last - at + 1 < MOST) last++;
  return last;
}

// Returns whether the secret is at `at`, and ends at `end`.
static enum match match_at(struct span secret, struct span text, size_t at, size_t *end) {
  for (size_t next = 0; next < secret.size; next++) {
    if (at == text.size) return MATCH_BEGUN;
    if (text.data[at] == secret.data[next]) {
      at++;
      continue;
    }
    if (text.data[at] != '\\' && text.data[at] != '%') return MATCH_NO;
    if (next && text.data[at] == '\\') at = last_backslash(text, at);
    char byte;
    int size = read_escape(text, at, &byte);
    if (size < 0) return MATCH_BEGUN;
    if (size == 0 || byte != secret.data[next]) return MATCH_NO;
    at += (size_t)size;
  }
  *end = at;
  return MATCH_WHOLE;
}

static size_t next_byte(struct span text, size_t from, char byte) {
  const char *found = from < text.size ? memchr(text.data + from, byte, text.size - from) : NULL;
  return found ? (size_t)(found - text.data) : text.size;
}

// Where the secret may begin: at its first byte, at an escape, or at a percent sign.
struct places {
  size_t plain, escape, percent;
};

// Returns the first of them from `at` on.
static size_t seek(struct places *places, struct span secret, struct span text, size_t at) {
  if (places->plain < at) places->plain = next_byte(text, at, secret.data[0]);
  if (places->escape < at) places->escape = next_byte(text, at, '\\');
  if (places->percent < at) places->percent = next_byte(text, at, '%');
  size_t first = places->plain < places->escape ? places->plain : places->escape;
  return first < places->percent ? first : places->percent;
}

// Returns how likely a byte is in JSON with text.
static unsigned likelihood(char byte) {
  static const unsigned char LETTERS[] = {24, 7,  15, 16, 26, 12, 10, 18, 22, 3, 5, 17, 13,
                                          21, 23, 11, 2,  19, 20, 25, 14, 6,  9, 4, 8,  1};
  enum { DIGIT = 10, PUNCTUATION = 14 };
  if (byte >= 'a' && byte <= 'z') return LETTERS[byte - 'a'];
  if (byte >= 'A' && byte <= 'Z') return 0;
  return byte >= '0' && byte <= '9' ? DIGIT : PUNCTUATION;
}

// Returns whether URLs have the byte as it is (RFC 3986 section 2.3).
static bool is_unreserved(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
         (byte && strchr("-._~", byte));
}

struct redactor redactor_of(struct span secret) {
  struct redactor redactor = {.secret = secret};
  for (size_t at = 0; at < secret.size; at++) {
    redactor.changes_in_urls = redactor.changes_in_urls || !is_unreserved(secret.data[at]);
  }
  unsigned least = UINT_MAX;
  for (size_t at = 0; at < secret.size && least; at++) {
    unsigned this = likelihood(secret.data[at]);
    if (this < least) redactor.rarest = at;
    least = this < least ? this : least;
  }
  return redactor;
}

static bool has_byte(struct span text, char byte) { return memchr(text.data, byte, text.size) != NULL; }

// Returns whether the text contains the secret without escapes.
static bool has_plain(const struct redactor *redactor, struct span text) {
  struct span secret = redactor->secret;
  if (text.size < secret.size) return false;
  // The range of the rarest byte of a secret that is completely in the text.
  size_t from = redactor->rarest, end = text.size - (secret.size - redactor->rarest) + 1;
  char rarest = secret.data[redactor->rarest];
  for (const char *found; (found = memchr(text.data + from, rarest, end - from)); from++) {
    from = (size_t)(found - text.data);
    if (memcmp(found - redactor->rarest, secret.data, secret.size) == 0) return true;
  }
  return false;
}

// Returns whether an escape in the text, which begins with `sign`, may stand for a byte of the secret.
static bool has_escaped(struct span secret, struct span text, char sign) {
  for (size_t at = 0; (at = next_byte(text, at, sign)) < text.size; at++) {
    char byte;
    int size = read_escape(text, at, &byte);
    if (size < 0 || (size > 0 && has_byte(secret, byte)) || has_byte(secret, sign)) return true;
  }
  return false;
}

// Returns whether the text may contain the secret, or end with its beginning. Nearly always it does not, and finding
// that out is faster than finding the secret.
static bool may_have(const struct redactor *redactor, struct span text) {
  struct span secret = redactor->secret;
  return text.size &&
         (has_byte(secret, text.data[text.size - 1]) || has_plain(redactor, text) || has_escaped(secret, text, '\\') ||
          (redactor->changes_in_urls && has_escaped(secret, text, '%')));
}

bool redact(struct redactor *redactor, struct span chunk, bool last, struct buffer *passed) {
  struct span secret = redactor->secret, text = chunk;
  if (secret.size < SHORTEST_SECRET) return false;
  bool joined = redactor->pending.size > 0, replaced = joined;
  if (!joined && !may_have(redactor, chunk)) return false;
  if (joined) {
    buffer_add(&redactor->pending, chunk);
    text = buffer_span(&redactor->pending);
  }
  size_t written = 0, kept = text.size;
  struct places places = {next_byte(text, 0, secret.data[0]), next_byte(text, 0, '\\'),
                          redactor->changes_in_urls ? next_byte(text, 0, '%') : text.size};
  for (size_t at = 0; (at = seek(&places, secret, text, at)) < text.size;) {
    size_t end;
    enum match match = match_at(secret, text, at, &end);
    if (match == MATCH_BEGUN && !last) {
      kept = at;
      break;
    }
    if (match != MATCH_WHOLE) {
      at++;
      continue;
    }
    buffer_add(passed, span_between(text, written, at));
    buffer_reserve(passed, end - at);
    memset(passed->data + passed->size, '*', end - at);
    passed->size += end - at;
    written = at = end;
    replaced = true;
  }
  replaced = replaced || kept < text.size;
  if (!replaced) return false;
  buffer_add(passed, span_between(text, written, kept));
  struct buffer rest = {0};
  buffer_add(&rest, span_from(text, kept));
  buffer_free(&redactor->pending);
  redactor->pending = rest;
  return true;
}

void redactor_free(struct redactor *redactor) { buffer_free(&redactor->pending); }
