/* An upstream that costs next to nothing: one thread, epoll, answers prepared once.
 *
 *   upstream [--port N] [--events N] [--interval-ms N]
 *
 * Prints {"port": N} when it listens on 127.0.0.1. Every request gets a chat completion of about 500 bytes; one
 * whose body has "stream":true gets that many server-sent events at that interval, then the finishing event and
 * [DONE]. A model called paced-<events>-<interval_ms> sets the pace of its own answer. GET /__stats reads the
 * counters. Ends when standard input is a pipe and closes, so that it never outlives who started it. */
#define _GNU_SOURCE
#include "http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char COMPLETION[] =
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"A trunk line is a main line of a "
    "telephone network that carries many calls at the same time between exchanges, so that each caller needs no "
    "line of its own across the country.\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":40,\"total_tokens\":240},"
    "\"system_fingerprint\":\"fp_bench\"}";
#define CHUNK_START                                                                                                 \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"                  \
    "\"model\":\"bench\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":"
static const char EVENT[] = CHUNK_START "{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
static const char FINISH[] = CHUNK_START "{},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":200,\"completion_tokens\":40,\"total_tokens\":240}}\n\n";
static const char DONE[] = "data: [DONE]\n\n";
static const char STREAM_HEAD[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                                  "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

struct buffer {
    char *data;
    size_t size, capacity;
};

struct connection {
    int fd;
    bool dead, wants_write;
    struct buffer in, out;
    size_t head;   /* bytes of the request's head, 0 until it is whole */
    size_t body;   /* bytes of the body so far, in `in` after the head */
    size_t length; /* of the body, when not chunked */
    bool is_chunked;
    struct chunked chunks;
    bool streaming;
    unsigned events_left;
    uint64_t interval_us, due_us;
    struct connection *earlier, *later; /* in the queue of streams, by due_us */
};

static int epoll_fd;
static unsigned default_events = 20, default_interval_ms = 50;
static struct connection *first_due, *last_due;
static struct { unsigned long connections, requests, streams, streams_finished, events, clients_gone; } counts;
static struct buffer completion, first_bytes, event_chunk, last_bytes;

static void append(struct buffer *buffer, const char *data, size_t size) {
    if (buffer->size + size > buffer->capacity) {
        buffer->capacity = (buffer->size + size) * 2;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (!buffer->data) abort();
    }
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
}

static void append_chunk(struct buffer *buffer, const char *event) {
    char size[24];
    append(buffer, size, (size_t)snprintf(size, sizeof size, "%zx\r\n", strlen(event)));
    append(buffer, event, strlen(event));
    append(buffer, "\r\n", 2);
}

static void prepare_answers(void) {
    char head[128];
    int size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                        strlen(COMPLETION));
    append(&completion, head, (size_t)size);
    append(&completion, COMPLETION, strlen(COMPLETION));
    append(&first_bytes, STREAM_HEAD, strlen(STREAM_HEAD));
    append_chunk(&event_chunk, EVENT);
    append_chunk(&last_bytes, FINISH);
    append_chunk(&last_bytes, DONE);
    append(&last_bytes, "0\r\n\r\n", 5);
}

static void unqueue(struct connection *c) {
    if (c->earlier) c->earlier->later = c->later;
    else if (first_due == c) first_due = c->later;
    if (c->later) c->later->earlier = c->earlier;
    else if (last_due == c) last_due = c->earlier;
    c->earlier = c->later = NULL;
}

/* Nearly every stream has the same interval, so its place is at or near the end. */
static void queue(struct connection *c) {
    struct connection *before = last_due;
    while (before && before->due_us > c->due_us) before = before->earlier;
    c->earlier = before;
    c->later = before ? before->later : first_due;
    if (c->later) c->later->earlier = c;
    else last_due = c;
    if (before) before->later = c;
    else first_due = c;
}

static void watch(struct connection *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, operation, c->fd, &event);
}

/* The memory goes later, in `bury`: events for it may still be in hand. */
static struct connection *graves;
static void end(struct connection *c) {
    if (c->dead) return;
    if (c->streaming) {
        unqueue(c);
        counts.clients_gone++;
    } else if (c->in.size) {
        counts.clients_gone++;
    }
    c->dead = true;
    close(c->fd);
    c->later = graves;
    graves = c;
}

static void bury(void) {
    while (graves) {
        struct connection *c = graves;
        graves = c->later;
        free(c->in.data);
        free(c->out.data);
        free(c);
    }
}

static void send_bytes(struct connection *c, const char *data, size_t size) {
    if (c->dead) return;
    if (!c->wants_write) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            end(c);
            return;
        }
        if (sent > 0) {
            data += sent;
            size -= (size_t)sent;
        }
        if (size == 0) return;
        c->wants_write = true;
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    append(&c->out, data, size);
}

static void flush(struct connection *c) {
    ssize_t sent = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) end(c);
        return;
    }
    c->out.size -= (size_t)sent;
    memmove(c->out.data, c->out.data + sent, c->out.size);
    if (c->out.size == 0) {
        c->wants_write = false;
        watch(c, EPOLLIN, EPOLL_CTL_MOD);
    }
}

static void send_event(struct connection *c, uint64_t now) {
    if (c->events_left) {
        c->events_left--;
        counts.events++;
        c->due_us = c->due_us + c->interval_us > now ? c->due_us + c->interval_us : now;
        queue(c);
        send_bytes(c, event_chunk.data, event_chunk.size);
        return;
    }
    counts.events += 2;
    counts.streams_finished++;
    c->streaming = false;
    send_bytes(c, last_bytes.data, last_bytes.size);
}

static char models[2000]; /* what GET /v1/models lists */

static void send_stats(struct connection *c) {
    char body[400], answer[600];
    int size = snprintf(body, sizeof body,
                        "{\"connections\":%lu,\"requests\":%lu,\"streams\":%lu,\"streams_finished\":%lu,"
                        "\"events\":%lu,\"clients_gone\":%lu}",
                        counts.connections, counts.requests, counts.streams, counts.streams_finished, counts.events,
                        counts.clients_gone);
    size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", size, body);
    send_bytes(c, answer, (size_t)size);
}

static void send_models(struct connection *c) {
    char answer[sizeof models + 200];
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n"
                        "{\"object\":\"list\",\"data\":[%s]}",
                        strlen(models) + strlen("{\"object\":\"list\",\"data\":[]}"), models);
    send_bytes(c, answer, (size_t)size);
}

static void list_model(const char *name) {
    size_t used = strlen(models);
    snprintf(models + used, sizeof models - used, "%s{\"id\":\"%s\",\"object\":\"model\"}", used ? "," : "", name);
}

static void answer(struct connection *c) {
    const char *body = c->in.data + c->head;
    bool listing = strncmp(c->in.data, "GET /v1/models", 14) == 0;
    bool stats = strncmp(c->in.data, "GET /__stats", 12) == 0;
    bool stream = memmem(body, c->body, "\"stream\":true", 13) || memmem(body, c->body, "\"stream\": true", 14);
    unsigned events = default_events, interval_ms = default_interval_ms;
    const char *paced = memmem(body, c->body, "\"paced-", 7);
    if (paced) {
        char text[40] = {0};
        size_t left = (size_t)(body + c->body - paced);
        memcpy(text, paced, left < sizeof text - 1 ? left : sizeof text - 1);
        sscanf(text, "\"paced-%u-%u", &events, &interval_ms);
    }
    c->in.size = c->head = c->body = 0;
    if (stats) {
        send_stats(c);
        return;
    }
    if (listing) {
        send_models(c);
        return;
    }
    counts.requests++;
    if (!stream) {
        send_bytes(c, completion.data, completion.size);
        return;
    }
    counts.streams++;
    send_bytes(c, first_bytes.data, first_bytes.size);
    if (c->dead) return;
    c->streaming = true;
    c->events_left = events;
    c->interval_us = interval_ms * UINT64_C(1000);
    c->due_us = now_us();
    queue(c);
}

/* Returns whether a whole request is there. */
static bool parse(struct connection *c, size_t before) {
    if (!c->head) {
        c->head = head_length(c->in.data, c->in.size);
        if (!c->head) return false;
        const char *coding = header_value(c->in.data, c->head, "transfer-encoding");
        const char *length = header_value(c->in.data, c->head, "content-length");
        c->is_chunked = coding && strncasecmp(coding, "chunked", 7) == 0;
        c->length = length ? strtoul(length, NULL, 10) : 0;
        c->chunks = (struct chunked){0};
        before = c->head;
    }
    if (!c->is_chunked) {
        c->body = c->in.size - c->head;
        return c->body >= c->length;
    }
    size_t place = before;
    while (place < c->in.size && c->chunks.state != CHUNK_DONE && c->chunks.state != CHUNK_BAD) {
        const char *payload;
        size_t size;
        place += chunked_next(&c->chunks, c->in.data + place, c->in.size - place, &payload, &size);
        if (payload) {
            memmove(c->in.data + c->head + c->body, payload, size);
            c->body += size;
        }
    }
    c->in.size = c->head + c->body;
    if (c->chunks.state == CHUNK_BAD) end(c);
    return c->chunks.state == CHUNK_DONE;
}

static void receive(struct connection *c) {
    static char data[65536];
    ssize_t size = recv(c->fd, data, sizeof data, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        end(c);
        return;
    }
    size_t before = c->in.size;
    append(&c->in, data, (size_t)size);
    if (!c->streaming && parse(c, before)) answer(c);
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) abort();
        c->fd = fd;
        counts.connections++;
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static int listen_on(unsigned port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) {
        perror("upstream: listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("{\"port\": %u}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    unsigned port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned value = (unsigned)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--port") == 0) port = value;
        else if (strcmp(argv[i], "--events") == 0) default_events = value;
        else if (strcmp(argv[i], "--interval-ms") == 0) default_interval_ms = value;
        else if (strcmp(argv[i], "--model") == 0) list_model(argv[i + 1]);
        else return fprintf(stderr, "upstream: unknown option %s\n", argv[i]), 2;
    }
    raise_descriptor_limit();
    prepare_answers();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct connection listener = {.fd = listen_on(port)}, input = {.fd = 0};
    watch(&listener, EPOLLIN, EPOLL_CTL_ADD);
    struct stat status;
    if (fstat(0, &status) == 0 && S_ISFIFO(status.st_mode)) watch(&input, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event ready[256];
        uint64_t now = now_us();
        int timeout = -1;
        if (first_due) timeout = first_due->due_us > now ? (int)((first_due->due_us - now + 999) / 1000) : 0;
        int count = epoll_wait(epoll_fd, ready, 256, timeout);
        for (int i = 0; i < count; i++) {
            struct connection *c = ready[i].data.ptr;
            if (c == &input) return 0;
            if (c == &listener) accept_all(listener.fd);
            else {
                if (!c->dead && ready[i].events & EPOLLOUT) flush(c);
                if (!c->dead && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
            }
        }
        now = now_us();
        while (first_due && first_due->due_us <= now) {
            struct connection *c = first_due;
            unqueue(c);
            send_event(c, now);
        }
        bury();
    }
}
