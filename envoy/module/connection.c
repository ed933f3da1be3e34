#define _GNU_SOURCE

#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands.h"
#include "connection_state.h"

enum {
  // Between two attempts to connect. A restarted translator keeps its socket, so this is for the first start, and for a
  // peer that closes every connection.
  RECONNECT_MS = 50,
  EXPIRY_MS = 1000,
  // Most connections on which a check is sent: a check that kills its reader must not do so for ever.
  MAX_TIMES_ASKED = 3,
  QUEUED = 102,  // the status of an answer that says that the request waits
  LONGEST_WAIT_MS = 3600000,
};

static const char UPGRADE[] =
    "GET /authorise HTTP/1.1\r\nhost: translator\r\nconnection: upgrade\r\nupgrade: trunkline-authorise\r\n\r\n";

// Configurations are created on Envoy's main thread and destroyed by their last user, which may be a worker.
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection *connections;

void connection_wake(struct connection *connection) {
  ssize_t done = write(connection->wake[1], "", 1);  // a full pipe wakes the thread too
  (void)done;
}

// Runs on the thread.
static void report(struct connection *connection, enum complaint cause, const char *detail) {
  complain(&connection->complaints, cause, (struct span){detail, strlen(detail)}, monotonic_ms());
}

static void disconnect(struct connection *connection) {
  if (connection->socket >= 0) close(connection->socket);
  connection->socket = -1;
  connection->sent = 0;
  connection->full = false;
  // The queue in which they waited is gone: they are sent once more and join the queue again.
  for (struct pending_check *check; (check = connection->queued.oldest);) {
    list_remove(&connection->queued, check);
    check->queued = false;
    check->asked = 1;  // the reader survived it
    check->deadline = monotonic_ms() + connection->timeout_ms;
    list_append(&connection->asked, check);
  }
  for (struct pending_check *check = connection->asked.oldest, *newer; check; check = newer) {
    newer = check->newer;
    if ((check->scheduler || check->notice) && check->asked < MAX_TIMES_ASKED) continue;
    connection_take_out(connection, check);
    if (check->scheduler) {
      pending_check_answer(check);
    } else {
      pending_check_free(check);
    }
  }
  connection->unsent = connection->asked.oldest;
}

static void connect_now(struct connection *connection) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, connection->path, sizeof connection->path);
  int made = socket(AF_UNIX, SOCK_STREAM, 0);
  if (made < 0) {
    report(connection, TRANSLATOR_AWAY, strerror(errno));
    return;
  }
  fcntl(made, F_SETFD, FD_CLOEXEC);
  // If too many connections wait to be accepted, a blocking connect would wait too, and nothing would expire meanwhile.
  fcntl(made, F_SETFL, O_NONBLOCK);
  bool connected = connect(made, (struct sockaddr *)&address, sizeof address) == 0;
  if (!connected || send(made, UPGRADE, sizeof UPGRADE - 1, MSG_NOSIGNAL) != (ssize_t)sizeof UPGRADE - 1) {
    report(connection, connected ? TRANSLATOR_REFUSES : TRANSLATOR_AWAY, strerror(errno));
    close(made);
    return;
  }
  pthread_mutex_lock(&connection->lock);
  connection->socket = made;
  if (!connection_write(connection)) disconnect(connection);
  pthread_mutex_unlock(&connection->lock);
}

// Moves a check whose request waits to the queued list, with the deadline in the answer. Returns false if the answer is
// invalid.
static bool take_queued(struct connection *connection, struct pending_check *check, struct reply reply) {
  struct span account = reply.head, wait = span_next(&account, ' ');
  uint64_t longest_ms;
  if (reply.status != QUEUED || !span_number(wait, &longest_ms) || longest_ms > LONGEST_WAIT_MS) return false;
  list_remove(check->queued ? &connection->queued : &connection->asked, check);
  list_append(&connection->queued, check);
  check->queued = true;
  check->deadline = monotonic_ms() + (int64_t)longest_ms + connection->timeout_ms;
  check->account.size = 0;
  buffer_add(&check->account, account);
  envoy_scheduler scheduler = check->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, check->events.queued);
  return true;
}

static void take_answer(struct connection *connection, struct span frame) {
  uint64_t number = frame_number(frame);
  if (!number) {
    struct buffer result = {0};
    command_obey(frame_reply(frame), connection->lane == LANE_SHORT, &result);
    connection_put_notice(connection, 0, result);  // this is the thread itself, which sees what is left to write
    return;
  }
  struct pending_check *check = table_find(&connection->waiting, number);
  if (!check) return;                 // the client has left
  if (check == connection->unsent) return;  // an answer to half a check is ignored
  if (take_queued(connection, check, frame_reply(frame))) return;
  connection_take_out(connection, check);
  buffer_add(&check->answer, frame);
  pending_check_answer(check);
}

// Takes the complete answers out of `received`. Returns false if the peer does not speak our protocol.
static bool take_answers(struct connection *connection, struct buffer *received, bool *upgraded) {
  struct span rest = buffer_span(received), frame;
  if (!*upgraded) {
    ptrdiff_t end = span_find(rest, SPAN("\r\n\r\n"), 0);
    if (end < 0 && rest.size < 4096) return true;
    if (end < 0 || !span_begins(rest, SPAN("HTTP/1.1 101 "))) {
      report(connection, TRANSLATOR_REFUSES, "");
      return false;
    }
    *upgraded = true;
    rest = span_from(rest, (size_t)end + 4);
  }
  enum frame_state state;
  pthread_mutex_lock(&connection->lock);
  while ((state = frame_next(&rest, &frame)) == FRAME_WHOLE) take_answer(connection, frame);
  pthread_mutex_unlock(&connection->lock);
  memmove(received->data, rest.data, rest.size);
  received->size = rest.size;
  if (state == FRAME_BAD) report(connection, TRANSLATOR_NONSENSE, "");
  return state != FRAME_BAD;
}

// Reads everything available. Returns false if the connection is broken.
static bool receive(struct connection *connection, struct buffer *received, bool *upgraded) {
  for (;;) {
    buffer_reserve(received, 65536);
    size_t space = received->capacity - received->size;
    ssize_t got = recv(connection->socket, received->data + received->size, space, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
    if (got <= 0) {
      report(connection, *upgraded ? TRANSLATOR_LOST : TRANSLATOR_REFUSES, got ? strerror(errno) : "");
      return false;
    }
    received->size += (size_t)got;
    if (!take_answers(connection, received, upgraded)) return false;
    if ((size_t)got < space) return true;
  }
}

static void give_up(struct connection *connection, struct pending_check *check) {
  connection_take_out(connection, check);
  // Without a connection, that is the reason, and was logged.
  if (connection->socket >= 0) report(connection, TRANSLATOR_SILENT, "");
  pending_check_answer(check);
}

// Ends the checks that are too old. Returns how long the thread may wait until the next one.
static int expire(struct connection *connection) {
  int64_t now = monotonic_ms();
  if (now >= connection->next_look) {  // each has a deadline of its own
    connection->next_look = now + EXPIRY_MS;
    for (struct pending_check *check = connection->queued.oldest, *newer; check; check = newer) {
      newer = check->newer;
      if (check->deadline <= now) give_up(connection, check);
    }
  }
  while (connection->asked.oldest && connection->asked.oldest->deadline <= now) {
    struct pending_check *check = connection->asked.oldest;
    if (check == connection->unsent && connection->sent) {  // the rest of a frame must be written
      disconnect(connection);
      continue;
    }
    if (check->notice) {
      connection_take_out(connection, check);
      pending_check_free(check);
    } else {
      give_up(connection, check);
    }
  }
  // A new check does not end the wait.
  int64_t left = connection->asked.oldest ? connection->asked.oldest->deadline - now : connection->timeout_ms;
  return left < EXPIRY_MS ? (int)left : EXPIRY_MS;
}

static void *run(void *argument) {
  struct connection *connection = argument;
  struct buffer received = {0};
  bool upgraded = false;
  int64_t next_attempt = monotonic_ms();
  for (;;) {
    pthread_mutex_lock(&connection->lock);
    bool stopping = connection->stopping;
    int wait = expire(connection);
    short wanted = (short)(connection->full ? POLLIN | POLLOUT : POLLIN);
    pthread_mutex_unlock(&connection->lock);
    if (stopping) break;
    // Only this thread connects and disconnects, so it may read the socket without the lock.
    if (connection->socket < 0 && monotonic_ms() >= next_attempt) {
      received.size = 0;
      upgraded = false;
      connect_now(connection);
      next_attempt = monotonic_ms() + RECONNECT_MS;
    }
    bool connected = connection->socket >= 0;
    if (!connected && wait > RECONNECT_MS) wait = RECONNECT_MS;
    struct pollfd polled[2] = {{connection->wake[0], POLLIN, 0}, {connection->socket, wanted, 0}};
    poll(polled, connected ? 2 : 1, wait);
    if (polled[0].revents) {
      char bytes[256];
      ssize_t got = read(connection->wake[0], bytes, sizeof bytes);
      (void)got;
    }
    if (!connected || !polled[1].revents) continue;
    bool whole = !(polled[1].revents & (POLLIN | POLLHUP | POLLERR)) || receive(connection, &received, &upgraded);
    pthread_mutex_lock(&connection->lock);
    if (!whole || (connection->full && !connection_write(connection))) disconnect(connection);
    pthread_mutex_unlock(&connection->lock);
  }
  buffer_free(&received);
  return NULL;
}

// Creates a connection with its thread; returns NULL if that fails.
static struct connection *connection_new(const char *path, unsigned timeout_ms, enum lane lane) {
  struct connection *connection = allocate(sizeof *connection);
  memset(connection, 0, sizeof *connection);
  connection->timeout_ms = timeout_ms;
  connection->lane = lane;
  connection->socket = -1;
  strncpy(connection->path, path, sizeof connection->path - 1);
  if (pipe(connection->wake) < 0) {
    free(connection);
    return NULL;
  }
  for (int end = 0; end < 2; end++) {
    fcntl(connection->wake[end], F_SETFD, FD_CLOEXEC);
    fcntl(connection->wake[end], F_SETFL, O_NONBLOCK);
  }
  pthread_mutex_init(&connection->lock, NULL);
  if (pthread_create(&connection->thread, NULL, run, connection) != 0) {
    pthread_mutex_destroy(&connection->lock);
    close(connection->wake[0]), close(connection->wake[1]);
    free(connection);
    return NULL;
  }
  return connection;
}

static bool connection_is(const struct connection *connection, const char *path, unsigned timeout_ms, enum lane lane) {
  return strcmp(connection->path, path) == 0 && connection->timeout_ms == timeout_ms && connection->lane == lane;
}

struct connection *connection_open(const char *path, unsigned timeout_ms, enum lane lane) {
  pthread_mutex_lock(&connections_lock);
  struct connection *connection = connections;
  while (connection && !connection_is(connection, path, timeout_ms, lane)) connection = connection->next;
  if (!connection) {
    connection = connection_new(path, timeout_ms, lane);
    if (connection) {
      connection->next = connections;
      connections = connection;
    }
  }
  if (connection) connection->users++;
  pthread_mutex_unlock(&connections_lock);
  return connection;
}

void connection_close(struct connection *connection) {
  pthread_mutex_lock(&connections_lock);
  bool last = --connection->users == 0;
  struct connection **at = &connections;
  while (*at != connection) at = &(*at)->next;
  if (last) *at = connection->next;
  pthread_mutex_unlock(&connections_lock);
  if (!last) return;
  pthread_mutex_lock(&connection->lock);
  connection->stopping = true;
  pthread_mutex_unlock(&connection->lock);
  connection_wake(connection);
  pthread_join(connection->thread, NULL);
  disconnect(connection);
  while (connection->asked.oldest) {  // only notices are left: each check was dropped by its stream
    struct pending_check *notice = connection->asked.oldest;
    connection_take_out(connection, notice);
    pending_check_free(notice);
  }
  table_free(&connection->waiting);
  close(connection->wake[0]), close(connection->wake[1]);
  pthread_mutex_destroy(&connection->lock);
  free(connection);
}
