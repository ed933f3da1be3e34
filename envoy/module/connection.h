// A connection to the translator over its Unix socket, shared by all workers. A thread of its own reads the answers and
// hands each to its stream's worker. The workers write checks themselves if the socket accepts them at once: those of
// one turn of a worker together, at its end.
//
// A broken connection is reopened, and every check without an answer is sent again: authorising has no effect that
// would count twice. A check that gets no answer in time, or during which three connections broke, is answered with
// status 0.
//
// A request may wait for a place. The translator then says for how long (status 102), and the answer to the same check
// follows. If the connection breaks, such a check is sent again too, and waits again.
//
// An end notice has no answer. It is written once, as far as can be known here. If it is lost, other means free what it
// would have freed.
//
// On the wire, after an HTTP/1.1 upgrade, numbers little-endian:
//     frame   u32 bytes that follow, u64 number, u8 kind, u32 bytes of the head, head, body
//     answer  u32 bytes that follow, u64 number, u16 status, u32 bytes of the head, head, body
//
// An answer with number 0 is a command, by its status: 1 reports running requests (live.h), 2 ends a request, and 3
// reports rests and remaining quotas, and 4 does the same after taking the lines in its body (sharing.h). Its head is a
// token and, after a space, the request's id. The result carries the same token.

#pragma once

#include "abi.h"
#include "frames.h"

// Bytes of a path with its final 0: the shortest maximum of any system.
enum { LONGEST_PATH = 104 };

struct connection;
struct pending_check;

// Checks on one lane wait for each other to be written, so those with long bodies have a lane of their own.
enum lane { LANE_SHORT, LANE_LONG };

// Returns the connection for this path, time and lane, which is shared; NULL if no thread can be started. May be called
// from any thread. A check has `timeout_ms`, more than 0.
struct connection *connection_open(const char *path, unsigned timeout_ms, enum lane lane);
void connection_close(struct connection *connection);

// Events that are committed to a check's scheduler: `answered` when there is an answer, `queued` before that if the
// request waits for a place, and `flush` at the end of the worker's turn, upon which the stream calls
// connection_flush.
struct check_events {
  uint64_t answered, queued, flush;
};

// Takes over the check with its body, and the scheduler.
struct pending_check *connection_send_check(struct connection *connection, envoy_scheduler scheduler,
                                            struct check_events events, struct buffer frame);
// Writes the checks that this worker has sent in its turn: what Envoy has it do between two waits for sockets.
void connection_flush(void);
uint64_t pending_check_number(const struct pending_check *check);
// Returns whether the request waits for a place; adds the account on which its body is held meanwhile.
bool pending_check_queued(struct pending_check *check, struct buffer *account);
// Returns the answer, with status 0 if there was none in time. Valid until the check is dropped.
struct reply pending_check_reply(const struct pending_check *check);
// Returns when the check was sent, in monotonic milliseconds; 0 if the request waited for a place since.
uint64_t pending_check_asked_ms(const struct pending_check *check);
// Releases the scheduler of an answered check to the caller, who deletes it.
envoy_scheduler pending_check_keep_scheduler(struct pending_check *check);
// Drops a check, answered or not, on the stream's worker. Returns whether the translator may have read it.
bool pending_check_drop(struct pending_check *check);
// Sends the end notice of the request with this id, whose check had this `number`.
void connection_end(struct connection *connection, uint64_t number, struct span request_id);
// Takes over a frame without an answer, with its body, and writes it like an end notice.
void connection_send_notice(struct connection *connection, uint64_t number, struct buffer frame);
