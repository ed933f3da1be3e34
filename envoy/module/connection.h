// A line to the translator: one connection over its Unix socket, which all workers share. A thread of its own reads
// the answers and hands each to its stream's worker; checks are written by the workers themselves where the socket
// takes them at once.
//
// A connection that breaks is made again and every check without an answer is asked again: authorising has no
// effect that a second time would double. A check that has no answer in time, or that three connections broke
// over, is answered with status 0.
//
// A request may wait for a place: the translator tells so and for how long (status 102), and the answer to the same
// check follows. Of a connection that breaks, these too are asked again, and wait anew.
//
// An end notice has no answer. It is written once, as far as that can be known here; what it frees is freed by other
// means where it is lost.
//
// On the wire, after an HTTP/1.1 upgrade, numbers little-endian:
//   frame     u32 bytes that follow, u64 number, u8 kind, u32 bytes of the head, head, body
//   answer    u32 bytes that follow, u64 number, u16 status, u32 bytes of the head, head, body
//
// An answer with number 0 is no answer but a command, by its status: 1, to report the requests that run (live.h), 2, to
// end one, or 3, to report what rests and what is left of quotas. Its head is a token, and after a space the request's
// id. The reply carries the same token.

#pragma once

#include "abi.h"
#include "frames.h"

// Of a path, with its final 0: the shortest that a system allows.
enum { LONGEST_PATH = 104 };

struct connection;
struct pending_check;

// Checks on one lane wait for each other to be written: those with long bodies have one of their own.
enum lane { LANE_SHORT, LANE_LONG };

// One for each path, time and lane, shared; NULL if no thread can be started. From any thread. A check has
// `timeout_ms`, more than 0.
struct connection *connection_open(const char *path, unsigned timeout_ms, enum lane lane);
void connection_close(struct connection *connection);

// Takes over the check, which has its body, and the scheduler, to which `event` is committed when there is an
// answer, and before that `queued_event` when the translator tells that the request waits for a place.
struct pending_check *connection_send_check(struct connection *connection, envoy_scheduler scheduler, uint64_t event,
                                            uint64_t queued_event, struct buffer frame);
uint64_t pending_check_number(const struct pending_check *check);
// Whether the request waits for a place; adds the API key's id on whose account it does.
bool pending_check_queued(struct pending_check *check, struct buffer *key);
// What was answered: status 0 if nothing in time. Valid until The check is dropped.
struct reply pending_check_reply(const struct pending_check *check);
// When it was asked, in monotonic milliseconds; 0 if the request waited for a place since.
uint64_t pending_check_asked_ms(const struct pending_check *check);
// Of a check that is answered: gives out its scheduler, which is the caller's to delete.
envoy_scheduler pending_check_keep_scheduler(struct pending_check *check);
// On the stream's worker, answered or not. Returns whether the translator may have read the check.
bool pending_check_drop(struct pending_check *check);
// Tells the translator that the request with this id, which check `number` was about, is over.
void connection_end(struct connection *connection, uint64_t number, struct span request_id);
// Takes over a frame without an answer, which has its body, and writes it as an end notice is written.
void connection_send_notice(struct connection *connection, uint64_t number, struct buffer frame);
