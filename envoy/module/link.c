#define _GNU_SOURCE

#include "link.h"

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
#include "table.h"
#include "tickets.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0  // Envoy ignores SIGPIPE
#endif

enum {
  // Between two attempts to connect: a translator that is restarted keeps its socket, so that this is for the first
  // start, and for a peer that hangs up on us each time.
  RECONNECT_MS = 50,
  EXPIRY_MS = 1000,
  MOST_CHECKS = 100000,
  // On so many connections: a check that its reader does not survive must not end it for ever.
  MOST_TIMES_ASKED = 3,
  QUEUED = 102,  // the status that tells that a request waits for a place
  LONGEST_WAIT_MS = 3600000,
};

static const char UPGRADE[] =
    "GET /authorise HTTP/1.1\r\nhost: translator\r\nconnection: upgrade\r\nupgrade: trunkline-authorise\r\n\r\n";

struct link {
  struct link *next;  // of all
  unsigned users;
  char path[LONGEST_PATH];
  unsigned timeout_ms;
  enum lane lane;
  pthread_t thread;
  int wake[2];  // a byte here ends the thread's wait
  struct complaints complaints;  // the thread's

  pthread_mutex_t lock;  // of all below
  bool stopping;
  int socket;            // -1 while there is none
  struct list asked;      // without an answer, in the order asked, which is that of their deadlines
  struct list queued;     // of which the translator has told that an answer will take its time
  struct ticket *unsent;  // the first of them that is not wholly written
  size_t sent;            // bytes of it that are
  size_t count;
  int64_t next_look;      // at the deadlines of those that are queued
  uint64_t numbers;
  struct table waiting;   // by number
};

// Configurations are made on Envoy's main thread and destroyed by whoever used them last, which may be a worker.
static pthread_mutex_t links_lock = PTHREAD_MUTEX_INITIALIZER;
static struct link *links;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wake(struct link *link) {
  ssize_t done = write(link->wake[1], "", 1);  // full is as good: it wakes too
  (void)done;
}

// On the thread.
static void report(struct link *link, enum complaint cause, const char *detail) {
  complain(&link->complaints, cause, (struct span){detail, strlen(detail)}, now_ms());
}

static void take_out(struct link *link, struct ticket *ticket) {
  if (link->unsent == ticket) link->unsent = ticket->newer;
  list_remove(ticket->queued ? &link->queued : &link->asked, ticket);
  if (!ticket->notice) table_remove(&link->waiting, ticket->number);
  link->count--;
}

// The ticket is no longer among those that wait; its owner drops it.
static void answer(struct ticket *ticket) {
  ticket->answered = true;
  envoy_scheduler scheduler = ticket->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, ticket->event);
}

// Writes what the socket takes. False if the connection is broken.
static bool send_checks(struct link *link) {
  while (link->unsent && link->socket >= 0) {
    struct ticket *ticket = link->unsent;
    struct span rest = span_from(buffer_span(&ticket->frame), link->sent);
    ssize_t sent = send(link->socket, rest.data, rest.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!link->sent) ticket->asked++;
    link->sent += (size_t)sent;
    if (link->sent < ticket->frame.size) return true;
    link->sent = 0;
    link->unsent = ticket->newer;
    if (!ticket->scheduler) {  // a notice, or dropped while it was half written
      take_out(link, ticket);
      ticket_free(ticket);
    }
  }
  return true;
}

static void disconnect(struct link *link) {
  if (link->socket >= 0) close(link->socket);
  link->socket = -1;
  link->sent = 0;
  // Where they waited is gone: they are asked again, and wait anew.
  for (struct ticket *ticket; (ticket = link->queued.oldest);) {
    list_remove(&link->queued, ticket);
    ticket->queued = false;
    ticket->asked = 1;  // the reader has survived it
    ticket->deadline = now_ms() + link->timeout_ms;
    list_append(&link->asked, ticket);
  }
  for (struct ticket *ticket = link->asked.oldest, *newer; ticket; ticket = newer) {
    newer = ticket->newer;
    if ((ticket->scheduler || ticket->notice) && ticket->asked < MOST_TIMES_ASKED) continue;
    take_out(link, ticket);
    if (ticket->scheduler) {
      answer(ticket);
    } else {
      ticket_free(ticket);
    }
  }
  link->unsent = link->asked.oldest;
}

static void connect_now(struct link *link) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, link->path, sizeof link->path);
  int made = socket(AF_UNIX, SOCK_STREAM, 0);
  if (made < 0) {
    report(link, TRANSLATOR_AWAY, strerror(errno));
    return;
  }
  fcntl(made, F_SETFD, FD_CLOEXEC);
  // Where too many wait to be accepted, connecting would wait too, and nothing would expire meanwhile.
  fcntl(made, F_SETFL, O_NONBLOCK);
  bool connected = connect(made, (struct sockaddr *)&address, sizeof address) == 0;
  if (!connected || send(made, UPGRADE, sizeof UPGRADE - 1, MSG_NOSIGNAL) != (ssize_t)sizeof UPGRADE - 1) {
    report(link, connected ? TRANSLATOR_REFUSES : TRANSLATOR_AWAY, strerror(errno));
    close(made);
    return;
  }
  pthread_mutex_lock(&link->lock);
  link->socket = made;
  if (!send_checks(link)) disconnect(link);
  pthread_mutex_unlock(&link->lock);
}

// The request waits for a place, for as long as the answer says. False if it says something else.
static bool take_queued(struct link *link, struct ticket *ticket, struct reply reply) {
  struct span key = reply.head, wait = span_next(&key, ' ');
  uint64_t longest_ms;
  if (reply.status != QUEUED || !span_number(wait, &longest_ms) || longest_ms > LONGEST_WAIT_MS) return false;
  list_remove(ticket->queued ? &link->queued : &link->asked, ticket);
  list_append(&link->queued, ticket);
  ticket->queued = true;
  ticket->deadline = now_ms() + (int64_t)longest_ms + link->timeout_ms;
  ticket->key.size = 0;
  buffer_add(&ticket->key, key);
  envoy_scheduler scheduler = ticket->scheduler;
  if (scheduler) CALLBACK(http_filter_scheduler_commit)(scheduler, ticket->queued_event);
  return true;
}

static bool enqueue(struct link *link, struct ticket *ticket);

// Puts a frame without an answer behind all others. Under the lock, as enqueue.
static bool enqueue_notice(struct link *link, uint64_t number, struct buffer frame) {
  if (link->count >= MOST_CHECKS) {
    buffer_free(&frame);
    return false;
  }
  struct ticket *ticket = allocate(sizeof *ticket);
  *ticket = (struct ticket){.link = link, .notice = true, .deadline = now_ms() + link->timeout_ms, .frame = frame};
  frame_end(&ticket->frame, number);
  return enqueue(link, ticket);
}

static void take_answer(struct link *link, struct span frame) {
  uint64_t number = frame_number(frame);
  if (!number) {
    struct buffer result = {0};
    command_obey(frame_reply(frame), link->lane == LANE_SHORT, &result);
    enqueue_notice(link, 0, result);  // the thread, which this is, sees for itself what is left to write
    return;
  }
  struct ticket *ticket = table_find(&link->waiting, number);
  if (!ticket) return;                 // its client has left
  if (ticket == link->unsent) return;  // an answer to half a check is none
  if (take_queued(link, ticket, frame_reply(frame))) return;
  take_out(link, ticket);
  buffer_add(&ticket->answer, frame);
  answer(ticket);
}

// Takes the whole answers out of `received`. False if the peer does not speak our protocol.
static bool take_answers(struct link *link, struct buffer *received, bool *upgraded) {
  struct span rest = buffer_span(received), frame;
  if (!*upgraded) {
    ptrdiff_t end = span_find(rest, SPAN("\r\n\r\n"), 0);
    if (end < 0 && rest.size < 4096) return true;
    if (end < 0 || !span_begins(rest, SPAN("HTTP/1.1 101 "))) {
      report(link, TRANSLATOR_REFUSES, "");
      return false;
    }
    *upgraded = true;
    rest = span_from(rest, (size_t)end + 4);
  }
  enum frame_state state;
  pthread_mutex_lock(&link->lock);
  while ((state = frame_next(&rest, &frame)) == FRAME_WHOLE) take_answer(link, frame);
  pthread_mutex_unlock(&link->lock);
  memmove(received->data, rest.data, rest.size);
  received->size = rest.size;
  if (state == FRAME_BAD) report(link, TRANSLATOR_NONSENSE, "");
  return state != FRAME_BAD;
}

// Reads until there is nothing more. False if the connection is broken.
static bool receive(struct link *link, struct buffer *received, bool *upgraded) {
  for (;;) {
    buffer_reserve(received, 65536);
    size_t space = received->capacity - received->size;
    ssize_t got = recv(link->socket, received->data + received->size, space, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
    if (got <= 0) {
      report(link, *upgraded ? TRANSLATOR_LOST : TRANSLATOR_REFUSES, got ? strerror(errno) : "");
      return false;
    }
    received->size += (size_t)got;
    if (!take_answers(link, received, upgraded)) return false;
    if ((size_t)got < space) return true;
  }
}

static void give_up(struct link *link, struct ticket *ticket) {
  take_out(link, ticket);
  // Where there is no connection, that is the reason, and has been told.
  if (link->socket >= 0) report(link, TRANSLATOR_SILENT, "");
  answer(ticket);
}

// Ends the checks that are too old. How long the thread may wait then.
static int expire(struct link *link) {
  int64_t now = now_ms();
  if (now >= link->next_look) {  // each may wait for another time
    link->next_look = now + EXPIRY_MS;
    for (struct ticket *ticket = link->queued.oldest, *newer; ticket; ticket = newer) {
      newer = ticket->newer;
      if (ticket->deadline <= now) give_up(link, ticket);
    }
  }
  while (link->asked.oldest && link->asked.oldest->deadline <= now) {
    struct ticket *ticket = link->asked.oldest;
    if (ticket == link->unsent && link->sent) {  // the rest of a frame cannot be left out
      disconnect(link);
      continue;
    }
    if (ticket->notice) {
      take_out(link, ticket);
      ticket_free(ticket);
    } else {
      give_up(link, ticket);
    }
  }
  // A check that comes meanwhile does not end the wait.
  int64_t left = link->asked.oldest ? link->asked.oldest->deadline - now : link->timeout_ms;
  return left < EXPIRY_MS ? (int)left : EXPIRY_MS;
}

static void *run(void *argument) {
  struct link *link = argument;
  struct buffer received = {0};
  bool upgraded = false;
  int64_t next_attempt = now_ms();
  for (;;) {
    pthread_mutex_lock(&link->lock);
    bool stopping = link->stopping;
    int wait = expire(link);
    short wanted = (short)(link->unsent ? POLLIN | POLLOUT : POLLIN);
    pthread_mutex_unlock(&link->lock);
    if (stopping) break;
    // Only this thread connects and disconnects, so that it may look without the lock.
    if (link->socket < 0 && now_ms() >= next_attempt) {
      received.size = 0;
      upgraded = false;
      connect_now(link);
      next_attempt = now_ms() + RECONNECT_MS;
    }
    bool connected = link->socket >= 0;
    if (!connected && wait > RECONNECT_MS) wait = RECONNECT_MS;
    struct pollfd polled[2] = {{link->wake[0], POLLIN, 0}, {link->socket, wanted, 0}};
    poll(polled, connected ? 2 : 1, wait);
    if (polled[0].revents) {
      char bytes[256];
      ssize_t got = read(link->wake[0], bytes, sizeof bytes);
      (void)got;
    }
    if (!connected || !polled[1].revents) continue;
    bool whole = !(polled[1].revents & (POLLIN | POLLHUP | POLLERR)) || receive(link, &received, &upgraded);
    pthread_mutex_lock(&link->lock);
    if (!whole || !send_checks(link)) disconnect(link);
    pthread_mutex_unlock(&link->lock);
  }
  buffer_free(&received);
  return NULL;
}

// With its thread; NULL if there cannot be one.
static struct link *link_new(const char *path, unsigned timeout_ms, enum lane lane) {
  struct link *link = allocate(sizeof *link);
  memset(link, 0, sizeof *link);
  link->timeout_ms = timeout_ms;
  link->lane = lane;
  link->socket = -1;
  strncpy(link->path, path, sizeof link->path - 1);
  if (pipe(link->wake) < 0) {
    free(link);
    return NULL;
  }
  for (int end = 0; end < 2; end++) {
    fcntl(link->wake[end], F_SETFD, FD_CLOEXEC);
    fcntl(link->wake[end], F_SETFL, O_NONBLOCK);
  }
  pthread_mutex_init(&link->lock, NULL);
  if (pthread_create(&link->thread, NULL, run, link) != 0) {
    pthread_mutex_destroy(&link->lock);
    close(link->wake[0]), close(link->wake[1]);
    free(link);
    return NULL;
  }
  return link;
}

static bool link_is(const struct link *link, const char *path, unsigned timeout_ms, enum lane lane) {
  return strcmp(link->path, path) == 0 && link->timeout_ms == timeout_ms && link->lane == lane;
}

struct link *link_open(const char *path, unsigned timeout_ms, enum lane lane) {
  pthread_mutex_lock(&links_lock);
  struct link *link = links;
  while (link && !link_is(link, path, timeout_ms, lane)) link = link->next;
  if (!link) {
    link = link_new(path, timeout_ms, lane);
    if (link) {
      link->next = links;
      links = link;
    }
  }
  if (link) link->users++;
  pthread_mutex_unlock(&links_lock);
  return link;
}

void link_close(struct link *link) {
  pthread_mutex_lock(&links_lock);
  bool last = --link->users == 0;
  struct link **at = &links;
  while (*at != link) at = &(*at)->next;
  if (last) *at = link->next;
  pthread_mutex_unlock(&links_lock);
  if (!last) return;
  pthread_mutex_lock(&link->lock);
  link->stopping = true;
  pthread_mutex_unlock(&link->lock);
  wake(link);
  pthread_join(link->thread, NULL);
  disconnect(link);
  while (link->asked.oldest) {  // only notices: each check was dropped by its stream
    struct ticket *notice = link->asked.oldest;
    take_out(link, notice);
    ticket_free(notice);
  }
  table_free(&link->waiting);
  close(link->wake[0]), close(link->wake[1]);
  pthread_mutex_destroy(&link->lock);
  free(link);
}

// Puts a ticket behind all others, and writes what the socket takes. Under the lock; returns whether the thread has to
// wait for room in the socket. That the connection is broken it sees by itself.
static bool enqueue(struct link *link, struct ticket *ticket) {
  list_append(&link->asked, ticket);
  if (!ticket->notice) table_put(&link->waiting, ticket->number, ticket);
  link->count++;
  bool first = !link->unsent;
  if (first) {
    link->unsent = ticket;
    send_checks(link);
  }
  return first && link->unsent;
}

struct ticket *link_ask(struct link *link, envoy_scheduler scheduler, uint64_t event, uint64_t queued_event,
                        struct buffer frame) {
  struct ticket *ticket = allocate(sizeof *ticket);
  *ticket = (struct ticket){
      .link = link,
      .scheduler = scheduler,
      .event = event,
      .queued_event = queued_event,
      .deadline = now_ms() + link->timeout_ms,
      .frame = frame,
  };
  pthread_mutex_lock(&link->lock);
  ticket->number = ++link->numbers;
  frame_end(&ticket->frame, ticket->number);
  bool left = false;
  if (link->count < MOST_CHECKS) {
    left = enqueue(link, ticket);
  } else {
    answer(ticket);
  }
  pthread_mutex_unlock(&link->lock);
  if (left) wake(link);
  return ticket;
}

void link_end(struct link *link, uint64_t number, struct span request_id) {
  struct buffer frame = {0};
  frame_begin(&frame, FRAME_END_NOTICE, request_id, 0);
  link_tell(link, number, frame);
}

void link_tell(struct link *link, uint64_t number, struct buffer frame) {
  pthread_mutex_lock(&link->lock);
  bool left = enqueue_notice(link, number, frame);
  pthread_mutex_unlock(&link->lock);
  if (left) wake(link);
}

uint64_t ticket_number(const struct ticket *ticket) { return ticket->number; }

bool ticket_queued(struct ticket *ticket, struct buffer *key) {
  struct link *link = ticket->link;
  pthread_mutex_lock(&link->lock);
  bool queued = ticket->queued;
  if (queued) buffer_add(key, buffer_span(&ticket->key));
  pthread_mutex_unlock(&link->lock);
  return queued;
}

struct reply ticket_reply(const struct ticket *ticket) {
  return ticket->answer.size ? frame_reply(buffer_span(&ticket->answer)) : (struct reply){0};
}

uint64_t ticket_asked_ms(const struct ticket *ticket) {
  return ticket->queued ? 0 : (uint64_t)(ticket->deadline - ticket->link->timeout_ms);
}

envoy_scheduler ticket_keep_scheduler(struct ticket *ticket) {
  envoy_scheduler scheduler = ticket->scheduler;
  ticket->scheduler = NULL;
  return scheduler;
}

bool link_drop(struct ticket *ticket) {
  struct link *link = ticket->link;
  pthread_mutex_lock(&link->lock);
  envoy_scheduler scheduler = ticket->scheduler;
  ticket->scheduler = NULL;
  bool half_written = !ticket->answered && ticket == link->unsent && link->sent;
  // Without its last byte it is no check, but the rest is still written.
  bool asked = ticket->asked > 0;
  if (!ticket->answered && !half_written) take_out(link, ticket);
  pthread_mutex_unlock(&link->lock);
  if (!half_written) ticket_free(ticket);
  if (scheduler) CALLBACK(http_filter_scheduler_delete)(scheduler);
  return asked;
}
