// The state of a connection, shared by its thread (connection.c) and by the workers that write to it (pending_checks.c).

#pragma once

#include <pthread.h>
#include <sys/socket.h>

#include "clock.h"
#include "complaints.h"
#include "connection.h"
#include "pending_checks.h"
#include "table.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  // Envoy ignores SIGPIPE
#endif

struct connection {
  struct connection *next;  // in the list of all connections
  unsigned users;
  char path[LONGEST_PATH];
  unsigned timeout_ms;
  enum lane lane;
  pthread_t thread;
  int wake[2];  // a byte written here ends the thread's wait
  struct complaints complaints;  // used by the thread only

  pthread_mutex_t lock;  // guards everything below
  bool stopping;
  int socket;  // -1 while there is none
  struct list asked;  // without an answer, in the order sent, which is that of their deadlines
  struct list queued;  // whose requests wait, so that their answers take longer
  struct pending_check *unsent;  // the first one that is not completely written
  size_t sent;  // bytes of it that are written
  bool full;  // the socket did not accept everything, so the thread writes the rest
  size_t count;
  int64_t next_look;  // the next look at the deadlines of queued checks
  uint64_t numbers;
  struct table waiting;  // by number
};

// Ends the wait of the connection's thread.
void connection_wake(struct connection *connection);

// The caller of each function below has the lock.

// Writes what the socket accepts. Returns false if the connection is broken.
bool connection_write(struct connection *connection);
// Takes over a frame without an answer, with its body, and writes it. Returns whether the thread must be woken.
bool connection_put_notice(struct connection *connection, uint64_t number, struct buffer frame);
// Takes a check or a notice out of the connection's lists.
void connection_take_out(struct connection *connection, struct pending_check *check);
// Marks a check, which has left the lists, as answered; its owner drops it.
void pending_check_answer(struct pending_check *check);
