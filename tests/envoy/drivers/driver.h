// Code shared by the drivers. Each answers commands; commands and answers are lists of texts.

#pragma once

#include "bytes.h"

// Takes the next text off a command; the process ends where there is none, for then the test is wrong.
struct span next_text(struct span *command);
uint64_t next_number(struct span *command);
bool has_next(const struct span *command);
void put_text(struct buffer *answer, struct span text);
void put_number(struct buffer *answer, uint64_t number);

// A copy with no byte to spare before or behind it, so that the sanitizer sees each one read outside.
struct span exact_copy(struct span text);
void free_copy(struct span copy);

void bytes_driver(struct span command, struct buffer *answer);
void table_driver(struct span command, struct buffer *answer);
void frames_driver(struct span command, struct buffer *answer);
void answers_driver(struct span command, struct buffer *answer);
void connection_driver(struct span command, struct buffer *answer);
void filters_driver(struct span command, struct buffer *answer);
void plan_driver(struct span command, struct buffer *answer);
void hosts_driver(struct span command, struct buffer *answer);
void advice_driver(struct span command, struct buffer *answer);
void held_driver(struct span command, struct buffer *answer);
void peek_driver(struct span command, struct buffer *answer);
void quota_driver(struct span command, struct buffer *answer);
void pool_driver(struct span command, struct buffer *answer);
void redact_driver(struct span command, struct buffer *answer);
