#include "pending_checks.h"

#include <errno.h>
#include <sys/uio.h>

#include "connection_state.h"

enum {
  MAX_CHECKS = 100000,
  MAX_PARTS = 64,  // frames of one write
};

// The connection whose checks of this turn of the worker are not written yet. A check that is written at once wakes the
// translator, and often makes it answer, for that check alone; those of a turn are written together at its end.
static _Thread_local struct connection *due;

void connection_take_out(struct connection *connection, struct pending_check *check) {
  if (connection->unsent == check) connection->unsent = check->newer;
  list_remove(check->queued ? &connection->queued : &connection->asked, check);
  if (!check->notice) table_remove(&connection->waiting, check->number);
  connection->count--;
}

void pending_check_answer(struct pending_check *check) {
  check->answered = true;
  envoy_scheduler scheduler = check->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, check->events.answered);
}

// Moves past `size` bytes that the socket accepted.
static void written(struct connection *connection, size_t size) {
  while (size) {
    struct pending_check *check = connection->unsent;
    if (!connection->sent) check->asked++;
    size_t rest = check->frame.size - connection->sent;
    if (size < rest) {
      connection->sent += size;
      return;
    }
    size -= rest;
    connection->sent = 0;
    connection->unsent = check->newer;
    if (!check->scheduler) {  // a notice, or a check that was dropped while half written
      connection_take_out(connection, check);
      pending_check_free(check);
    }
  }
}

bool connection_write(struct connection *connection) {
  connection->full = false;
  while (connection->unsent && connection->socket >= 0) {
    struct iovec parts[MAX_PARTS];
    size_t count = 0, size = 0;
    for (struct pending_check *check = connection->unsent; check && count < MAX_PARTS; check = check->newer) {
      size_t begin = count ? 0 : connection->sent;
      parts[count++] = (struct iovec){check->frame.data + begin, check->frame.size - begin};
      size += check->frame.size - begin;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(connection->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) written(connection, (size_t)sent);
    connection->full = sent < 0 || (size_t)sent < size;
    if (connection->full) return sent >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  }
  return true;
}

// Writes unless the thread does. Returns whether the thread must be woken, to write the rest when there is room. It
// notices a broken connection by itself.
static bool write_now(struct connection *connection) {
  if (connection->full) return false;
  connection_write(connection);
  return connection->full;
}

// Appends a frame, to be written.
static void append(struct connection *connection, struct pending_check *check) {
  list_append(&connection->asked, check);
  if (!check->notice) table_put(&connection->waiting, check->number, check);
  connection->count++;
  if (!connection->unsent) connection->unsent = check;
}

void connection_flush(void) {
  struct connection *connection = due;
  if (!connection) return;
  due = NULL;
  pthread_mutex_lock(&connection->lock);
  bool full = write_now(connection);
  pthread_mutex_unlock(&connection->lock);
  if (full) connection_wake(connection);
}

struct pending_check *connection_send_check(struct connection *connection, envoy_scheduler scheduler,
                                            struct check_events events, struct buffer frame) {
  struct pending_check *check = allocate(sizeof *check);
  *check = (struct pending_check){
      .connection = connection,
      .scheduler = scheduler,
      .events = events,
      .deadline = monotonic_ms() + connection->timeout_ms,
      .frame = frame,
  };
  // Long checks are written at once: there is little to gain, and much to hold.
  bool waits = connection->lane == LANE_SHORT && (!due || due == connection), full = false;
  pthread_mutex_lock(&connection->lock);
  check->number = ++connection->numbers;
  frame_end(&check->frame, check->number);
  if (connection->count < MAX_CHECKS) {
    append(connection, check);
    check->flushes = waits && !due;
    if (!waits) full = write_now(connection);
  } else {
    pending_check_answer(check);
  }
  pthread_mutex_unlock(&connection->lock);
  if (full) connection_wake(connection);
  if (check->flushes) {
    due = connection;
    CALLBACK(http_filter_scheduler_commit)(scheduler, events.flush);
  }
  return check;
}

bool connection_put_notice(struct connection *connection, uint64_t number, struct buffer frame) {
  if (connection->count >= MAX_CHECKS) {
    buffer_free(&frame);
    return false;
  }
  struct pending_check *notice = allocate(sizeof *notice);
  *notice = (struct pending_check){
      .connection = connection, .notice = true, .deadline = monotonic_ms() + connection->timeout_ms, .frame = frame};
  frame_end(&notice->frame, number);
  append(connection, notice);
  return due != connection && write_now(connection);
}

void connection_send_notice(struct connection *connection, uint64_t number, struct buffer frame) {
  pthread_mutex_lock(&connection->lock);
  bool full = connection_put_notice(connection, number, frame);
  pthread_mutex_unlock(&connection->lock);
  if (full) connection_wake(connection);
}

void connection_end(struct connection *connection, uint64_t number, struct span request_id) {
  struct buffer frame = {0};
  frame_begin(&frame, FRAME_END_NOTICE, request_id, 0);
  connection_send_notice(connection, number, frame);
}

uint64_t pending_check_number(const struct pending_check *check) { return check->number; }

bool pending_check_queued(struct pending_check *check, struct buffer *account) {
  struct connection *connection = check->connection;
  pthread_mutex_lock(&connection->lock);
  bool queued = check->queued;
  if (queued) buffer_add(account, buffer_span(&check->account));
  pthread_mutex_unlock(&connection->lock);
  return queued;
}

struct reply pending_check_reply(const struct pending_check *check) {
  return check->answer.size ? frame_reply(buffer_span(&check->answer)) : (struct reply){0};
}

uint64_t pending_check_asked_ms(const struct pending_check *check) {
  return check->queued ? 0 : (uint64_t)(check->deadline - check->connection->timeout_ms);
}

envoy_scheduler pending_check_keep_scheduler(struct pending_check *check) {
  envoy_scheduler scheduler = check->scheduler;
  check->scheduler = NULL;
  return scheduler;
}

bool pending_check_drop(struct pending_check *check) {
  struct connection *connection = check->connection;
  pthread_mutex_lock(&connection->lock);
  envoy_scheduler scheduler = check->scheduler;
  check->scheduler = NULL;
  bool half_written = !check->answered && check == connection->unsent && connection->sent;
  // A frame without its last byte is not a check, but the rest must still be written.
  bool asked = check->asked > 0, flushes = check->flushes;
  if (!check->answered && !half_written) connection_take_out(connection, check);
  pthread_mutex_unlock(&connection->lock);
  if (!half_written) pending_check_free(check);
  if (flushes) connection_flush();  // its stream may end before the event comes
  if (scheduler) CALLBACK(http_filter_scheduler_delete)(scheduler);
  return asked;
}
