#define _GNU_SOURCE

#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "complaints.h"
#include "pending_checks.h"
#include "table.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  // Envoy ignores SIGPIPE
#endif

enum {
  // Between two attempts to connect. A restarted translator keeps its socket, so this is for the first start, and for a
  // peer that closes every connection.
  RECONNECT_MS = 50,
  EXPIRY_MS = 1000,
  MAX_CHECKS = 100000,
  // Most connections on which a check is sent: a check that kills its reader must not do so for ever.
  MAX_TIMES_ASKED = 3,
  QUEUED = 102,  // the status of an answer that says that the request waits
  LONGEST_WAIT_MS = 3600000,
};

static const char UPGRADE[] =
    "GET /authorise HTTP/1.1\r\nhost: translator\r\nconnection: upgrade\r\nupgrade: trunkline-authorise\r\n\r\n";

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
  int socket;            // -1 while there is none
  struct list asked;      // without an answer, in the order sent, which is that of their deadlines
  struct list queued;     // whose requests wait, so that their answers take longer
  struct pending_check *unsent;  // the first one that is not completely written
  size_t sent;            // bytes of it that are written
  size_t count;
  int64_t next_look;      // the next look at the deadlines of queued checks
  uint64_t numbers;
  struct table waiting;   // by number
};

// Configurations are created on Envoy's main thread and destroyed by their last user, which may be a worker.
static pthread_mutex_t connections_lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection *connections;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake(struct connection *connection) {
  ssize_t done = write(connection->wake[1], "", 1);  // a full pipe wakes the thread too
  (void)done;
}

// Runs on the thread.
static void report(struct connection *connection, enum complaint cause, const char *detail) {
  complain(&connection->complaints, cause, (struct span){detail, strlen(detail)}, now_ms());
}

static void take_out(struct connection *connection, struct pending_check *check) {
  if (connection->unsent == check) connection->unsent = check->newer;
  list_remove(check->queued ? &connection->queued : &connection->asked, check);
  if (!check->notice) table_remove(&connection->waiting, check->number);
  connection->count--;
}

// Marks a check, which has left the lists, as answered; its owner drops it.
static void answer(struct pending_check *check) {
  check->answered = true;
  envoy_scheduler scheduler = check->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, check->event);
}

// Writes what the socket accepts. Returns false if the connection is broken.
static bool send_checks(struct connection *connection) {
  while (connection->unsent && connection->socket >= 0) {
    struct pending_check *check = connection->unsent;
    struct span rest = span_from(buffer_span(&check->frame), connection->sent);
    ssize_t sent = send(connection->socket, rest.data, rest.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!connection->sent) check->asked++;
    connection->sent += (size_t)sent;
    if (connection->sent < check->frame.size) return true;
    connection->sent = 0;
    connection->unsent = check->newer;
    if (!check->scheduler) {  // a notice, or a check that was dropped while half written
      take_out(connection, check);
      pending_check_free(check);
    }
  }
  return true;
}

static void disconnect(struct connection *connection) {
  if (connection->socket >= 0) close(connection->socket);
  connection->socket = -1;
  connection->sent = 0;
  // The queue in which they waited is gone: they are sent again and join the queue anew.
  for (struct pending_check *check; (check = connection->queued.oldest);) {
    list_remove(&connection->queued, check);
    check->queued = false;
    check->asked = 1;  // the reader survived it
    check->deadline = now_ms() + connection->timeout_ms;
    list_append(&connection->asked, check);
  }
  for (struct pending_check *check = connection->asked.oldest, *newer; check; check = newer) {
    newer = check->newer;
    if ((check->scheduler || check->notice) && check->asked < MAX_TIMES_ASKED) continue;
    take_out(connection, check);
    if (check->scheduler) {
      answer(check);
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
  if (!send_checks(connection)) disconnect(connection);
  pthread_mutex_unlock(&connection->lock);
}

// Moves a check whose request waits to the queued list, with the deadline in the answer. Returns false if the answer is
// invalid.
static bool take_queued(struct connection *connection, struct pending_check *check, struct reply reply) {
  struct span key = reply.head, wait = span_next(&key, ' ');
  uint64_t longest_ms;
  if (reply.status != QUEUED || !span_number(wait, &longest_ms) || longest_ms > LONGEST_WAIT_MS) return false;
  list_remove(check->queued ? &connection->queued : &connection->asked, check);
  list_append(&connection->queued, check);
  check->queued = true;
  check->deadline = now_ms() + (int64_t)longest_ms + connection->timeout_ms;
  check->key.size = 0;
  buffer_add(&check->key, key);
  envoy_scheduler scheduler = check->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, check->queued_event);
  return true;
}

static bool enqueue(struct connection *connection, struct pending_check *check);

// Appends a frame without an answer. The caller has the lock, as for enqueue.
static bool enqueue_notice(struct connection *connection, uint64_t number, struct buffer frame) {
  if (connection->count >= MAX_CHECKS) {
    buffer_free(&frame);
    return false;
  }
  struct pending_check *check = allocate(sizeof *check);
  *check = (struct pending_check){
      .connection = connection, .notice = true, .deadline = now_ms() + connection->timeout_ms, .frame = frame};
  frame_end(&check->frame, number);
  return enqueue(connection, check);
}

static void take_answer(struct connection *connection, struct span frame) {
  uint64_t number = frame_number(frame);
  if (!number) {
    struct buffer result = {0};
    command_obey(frame_reply(frame), connection->lane == LANE_SHORT, &result);
    enqueue_notice(connection, 0, result);  // this is the thread itself, which sees what is left to write
    return;
  }
  struct pending_check *check = table_find(&connection->waiting, number);
  if (!check) return;                 // the client has left
  if (check == connection->unsent) return;  // an answer to half a check is ignored
  if (take_queued(connection, check, frame_reply(frame))) return;
  take_out(connection, check);
  buffer_add(&check->answer, frame);
  answer(check);
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
  take_out(connection, check);
  // Without a connection, that is the reason, and was logged.
  if (connection->socket >= 0) report(connection, TRANSLATOR_SILENT, "");
  answer(check);
}

// Ends the checks that are too old. Returns how long the thread may wait until the next one.
static int expire(struct connection *connection) {
  int64_t now = now_ms();
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
      take_out(connection, check);
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
  int64_t next_attempt = now_ms();
  for (;;) {
    pthread_mutex_lock(&connection->lock);
    bool stopping = connection->stopping;
    int wait = expire(connection);
    short wanted = (short)(connection->unsent ? POLLIN | POLLOUT : POLLIN);
    pthread_mutex_unlock(&connection->lock);
    if (stopping) break;
    // Only this thread connects and disconnects, so it may read the socket without the lock.
    if (connection->socket < 0 && now_ms() >= next_attempt) {
      received.size = 0;
      upgraded = false;
      connect_now(connection);
      next_attempt = now_ms() + RECONNECT_MS;
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
    if (!whole || !send_checks(connection)) disconnect(connection);
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
  wake(connection);
  pthread_join(connection->thread, NULL);
  disconnect(connection);
  while (connection->asked.oldest) {  // only notices are left: each check was dropped by its stream
    struct pending_check *notice = connection->asked.oldest;
    take_out(connection, notice);
    pending_check_free(notice);
  }
  table_free(&connection->waiting);
  close(connection->wake[0]), close(connection->wake[1]);
  pthread_mutex_destroy(&connection->lock);
  free(connection);
}

// Appends a check, and writes what the socket accepts. The caller has the lock. Returns whether the thread has to wait
// for room in the socket. The thread notices a broken connection by itself.
static bool enqueue(struct connection *connection, struct pending_check *check) {
  list_append(&connection->asked, check);
  if (!check->notice) table_put(&connection->waiting, check->number, check);
  connection->count++;
  bool first = !connection->unsent;
  if (first) {
    connection->unsent = check;
    send_checks(connection);
  }
  return first && connection->unsent;
}

struct pending_check *connection_send_check(struct connection *connection, envoy_scheduler scheduler, uint64_t event,
                                            uint64_t queued_event, struct buffer frame) {
  struct pending_check *check = allocate(sizeof *check);
  *check = (struct pending_check){
      .connection = connection,
      .scheduler = scheduler,
      .event = event,
      .queued_event = queued_event,
      .deadline = now_ms() + connection->timeout_ms,
      .frame = frame,
  };
  pthread_mutex_lock(&connection->lock);
  check->number = ++connection->numbers;
  frame_end(&check->frame, check->number);
  bool left = false;
  if (connection->count < MAX_CHECKS) {
    left = enqueue(connection, check);
  } else {
    answer(check);
  }
  pthread_mutex_unlock(&connection->lock);
  if (left) wake(connection);
  return check;
}

void connection_end(struct connection *connection, uint64_t number, struct span request_id) {
  struct buffer frame = {0};
  frame_begin(&frame, FRAME_END_NOTICE, request_id, 0);
  connection_send_notice(connection, number, frame);
}

void connection_send_notice(struct connection *connection, uint64_t number, struct buffer frame) {
  pthread_mutex_lock(&connection->lock);
  bool left = enqueue_notice(connection, number, frame);
  pthread_mutex_unlock(&connection->lock);
  if (left) wake(connection);
}

uint64_t pending_check_number(const struct pending_check *check) { return check->number; }

bool pending_check_queued(struct pending_check *check, struct buffer *key) {
  struct connection *connection = check->connection;
  pthread_mutex_lock(&connection->lock);
  bool queued = check->queued;
  if (queued) buffer_add(key, buffer_span(&check->key));
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
  bool asked = check->asked > 0;
  if (!check->answered && !half_written) take_out(connection, check);
  pthread_mutex_unlock(&connection->lock);
  if (!half_written) pending_check_free(check);
  if (scheduler) CALLBACK(http_filter_scheduler_delete)(scheduler);
  return asked;
}
