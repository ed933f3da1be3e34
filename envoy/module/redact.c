#include "redact.h"

#include <string.h>

enum match { MATCH_NO, MATCH_WHOLE, MATCH_BEGUN };

static int hex_digit(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

// The escape at `at`, where a backslash is: its length and the byte that it stands for. 0 if it is none of a byte, and -1
// if the text ends within it.
static int read_escape(struct span text, size_t at, char *byte) {
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

// Whether the secret stands at `at`, up to `end`.
static enum match match_at(struct span secret, struct span text, size_t at, size_t *end) {
  for (size_t next = 0; next < secret.size; next++) {
    if (at == text.size) return MATCH_BEGUN;
    if (text.data[at] == secret.data[next]) {
      at++;
      continue;
    }
    if (text.data[at] != '\\') return MATCH_NO;
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

// Where the secret may begin: at its first byte, or at an escape.
struct places {
  size_t plain, escape;
};

// The first of them from `at` on.
static size_t seek(struct places *places, struct span secret, struct span text, size_t at) {
  if (places->plain < at) places->plain = next_byte(text, at, secret.data[0]);
  if (places->escape < at) places->escape = next_byte(text, at, '\\');
  return places->plain < places->escape ? places->plain : places->escape;
}

bool redact(struct redactor *redactor, struct span chunk, bool last, struct buffer *passed) {
  struct span secret = redactor->secret, text = chunk;
  if (secret.size < SHORTEST_SECRET) return false;
  bool joined = redactor->pending.size > 0, replaced = joined;
  if (joined) {
    buffer_add(&redactor->pending, chunk);
    text = buffer_span(&redactor->pending);
  }
  size_t written = 0, kept = text.size;
  struct places places = {next_byte(text, 0, secret.data[0]), next_byte(text, 0, '\\')};
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
