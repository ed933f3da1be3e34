/* A load generator for HTTP/1.1 with keep-alive: one thread, epoll, plain answers and server-sent events.
 *
 *   loadgen --port N --request FILE [--request FILE …] [--connections N] [--seconds S] [--rate R] [--drain S]
 *           [--timeout S] [--ramp S] [--log FILE] [--spread 1]
 *
 * Each FILE holds one whole request, head and body, sent as it is; several are taken in turn. Without --rate the
 * loop is closed: every connection sends its next request when the last answer is whole. With --rate, requests are
 * due at fixed times, regardless of the answers, and latencies count from when a request was due. --ramp spreads the
 * start of a closed loop's connections, for thousands of slow streams. After --seconds, or SIGTERM, nothing more
 * becomes due; for --drain seconds more, what was due is sent and answers are awaited. JSON goes to standard output;
 * times in it are microseconds.
 * --log writes a line per request that ended: when it was due and when it ended (microseconds of CLOCK_MONOTONIC), its
 * status (0: none) and what x-trunkline-target said (-: nothing). --spread lets an open loop's connections take turns,
 * where it otherwise uses as few as will do: the server's threads then all get requests. */
#define _GNU_SOURCE
#include "histogram.h"
#include "http1.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A failed connection rests, or a closed loop would hammer a target that refuses. */
#define REST_US 10000

enum connection_state { CLOSED, CONNECTING, IDLE, SENDING, WAITING };
enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE };

struct connection {
    int fd;
    enum connection_state state;
    bool has_request, keep_alive, got_byte, newline;
    unsigned request;
    size_t sent;
    uint64_t due_us, started_us, rests_until_us;
    char head[16384];
    size_t head_size;
    bool head_done;
    unsigned status;
    enum body_kind kind;
    uint64_t left;
    struct chunked chunks;
    const char *served_by; /* in `head` */
    int served_by_size;
    struct connection *next_idle;
};

struct text {
    char *data;
    size_t size;
};

static int epoll_fd;
static struct sockaddr_in target;
static struct text requests[64];
static unsigned request_count, next_request, connection_count = 1;
static struct connection *connections, *idle, *last_idle;
static bool spread;
static FILE *request_log;
static volatile sig_atomic_t told_to_end;
static double seconds = 1, rate, drain = 2, timeout_seconds = 60, ramp;
static uint64_t end_us;
static unsigned long completed, events, connect_errors, broken, timeouts, sent_requests, statuses[600];
static unsigned in_flight, resting;
static struct histogram first_byte, whole;

/* In an open loop, when requests that found no idle connection were due. */
static uint64_t *waiting;
static size_t waiting_first, waiting_size, waiting_capacity;

static void watch(struct connection *c, uint32_t what, int operation) {
    struct epoll_event event = {.events = what, .data.ptr = c};
    epoll_ctl(epoll_fd, operation, c->fd, &event);
}

static void close_connection(struct connection *c) {
    if (c->state != CLOSED) close(c->fd);
    c->state = CLOSED;
}

static void make_idle(struct connection *c) {
    c->next_idle = spread ? NULL : idle;
    if (spread && idle) last_idle->next_idle = c;
    else idle = c;
    last_idle = c;
}

static void log_request(const struct connection *c, unsigned status) {
    if (!request_log) return;
    fprintf(request_log, "%llu %llu %u %.*s\n", (unsigned long long)c->due_us, (unsigned long long)now_us(), status,
            status && c->served_by ? c->served_by_size : 1, status && c->served_by ? c->served_by : "-");
}

static void start(struct connection *c, uint64_t due);

/* A connection that is free takes the next request, if one is due. */
static void take_next(struct connection *c, uint64_t now) {
    if (waiting_first < waiting_size) start(c, waiting[waiting_first++]);
    else if (now >= end_us) return;
    else if (rate == 0) start(c, now);
    else make_idle(c);
}

static void fail(struct connection *c, unsigned long *counter) {
    (*counter)++;
    log_request(c, 0);
    close_connection(c);
    in_flight--;
    c->has_request = false;
    c->rests_until_us = now_us() + REST_US;
    resting++;
}

static void finish(struct connection *c) {
    completed++;
    statuses[c->status < 600 ? c->status : 0]++;
    record(&whole, now_us() - c->due_us);
    log_request(c, c->status);
    if (c->keep_alive) c->state = IDLE;
    else close_connection(c);
    in_flight--;
    c->has_request = false;
    take_next(c, now_us());
}

static void send_more(struct connection *c) {
    struct text *text = &requests[c->request];
    while (c->sent < text->size) {
        ssize_t sent = send(c->fd, text->data + c->sent, text->size - c->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            else fail(c, &broken);
            return;
        }
        c->sent += (size_t)sent;
    }
    c->state = WAITING;
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void open_connection(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("loadgen: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS) {
        fail(c, &connect_errors);
        return;
    }
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void start(struct connection *c, uint64_t due) {
    c->has_request = true;
    c->due_us = due;
    c->started_us = now_us();
    c->request = next_request++ % request_count;
    c->sent = c->head_size = 0;
    c->got_byte = c->head_done = c->newline = false;
    c->status = 0;
    c->served_by = NULL;
    sent_requests++;
    in_flight++;
    if (c->state == IDLE) {
        c->state = SENDING;
        send_more(c);
    } else {
        open_connection(c);
    }
}

/* Events are the blank lines that end them, also when "\n\n" is split between chunks or reads. */
static void count_events(struct connection *c, const char *data, size_t size) {
    const char *end = data + size, *place = data;
    while (place < end) {
        if (c->newline && *place == '\n') {
            events++;
            c->newline = false;
            place++;
            continue;
        }
        place = memchr(place, '\n', (size_t)(end - place));
        c->newline = place != NULL;
        if (!place) return;
        place++;
    }
}

/* Returns false when the answer is not HTTP. */
static bool parse_head(struct connection *c, size_t head) {
    if (memcmp(c->head, "HTTP/1.1 ", 9) != 0) return false;
    c->status = (unsigned)strtoul(c->head + 9, NULL, 10);
    c->head_done = true;
    const char *length = header_value(c->head, head, "content-length");
    const char *coding = header_value(c->head, head, "transfer-encoding");
    const char *connection = header_value(c->head, head, "connection");
    c->served_by = header_value(c->head, head, "x-trunkline-target");
    if (c->served_by) c->served_by_size = (int)strcspn(c->served_by, " \t\r\n");
    c->keep_alive = !(connection && strncasecmp(connection, "close", 5) == 0);
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->chunks = (struct chunked){0};
    if (coding && strncasecmp(coding, "chunked", 7) == 0) c->kind = BODY_CHUNKED;
    else if (length) c->kind = BODY_LENGTH;
    else if (c->status == 204 || c->status == 304) c->kind = BODY_NONE;
    else c->kind = BODY_UNTIL_CLOSE;
    if (c->kind == BODY_UNTIL_CLOSE) c->keep_alive = false;
    return true;
}

/* Takes body bytes. Returns 1 when the answer is whole, 0 when not yet, -1 when it is malformed. */
static int take_body(struct connection *c, const char *data, size_t size) {
    if (c->kind == BODY_CHUNKED) {
        for (size_t used = 0; used < size;) {
            const char *payload;
            size_t payload_size;
            used += chunked_next(&c->chunks, data + used, size - used, &payload, &payload_size);
            if (payload) count_events(c, payload, payload_size);
            if (c->chunks.state == CHUNK_BAD) return -1;
            if (c->chunks.state == CHUNK_DONE) return 1;
        }
        return 0;
    }
    count_events(c, data, size);
    if (c->kind == BODY_UNTIL_CLOSE) return 0;
    c->left = size < c->left ? c->left - size : 0;
    return c->left == 0;
}

static void take(struct connection *c, const char *data, size_t size) {
    if (!c->got_byte) {
        c->got_byte = true;
        record(&first_byte, now_us() - c->due_us);
    }
    if (!c->head_done) {
        size_t before = c->head_size, kept = sizeof c->head - before < size ? sizeof c->head - before : size;
        memcpy(c->head + before, data, kept);
        c->head_size += kept;
        size_t head = head_length(c->head, c->head_size);
        if (!head && kept == size) return;
        if (!head || !parse_head(c, head)) {
            fail(c, &broken);
            return;
        }
        data += head - before;
        size -= head - before;
    }
    int result = take_body(c, data, size);
    if (result < 0) fail(c, &broken);
    else if (result > 0 || c->kind == BODY_NONE) finish(c);
}

static void receive(struct connection *c) {
    static char data[262144];
    ssize_t size = recv(c->fd, data, sizeof data, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (!c->has_request) {
        close_connection(c); /* an idle connection that the server closed */
    } else if (size <= 0) {
        if (size == 0 && c->head_done && c->kind == BODY_UNTIL_CLOSE) finish(c);
        else fail(c, &broken);
    } else {
        take(c, data, (size_t)size);
    }
}

static void ready(struct connection *c, uint32_t what) {
    if (c->state == CLOSED) return;
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            fail(c, &connect_errors);
            return;
        }
        c->state = SENDING;
        send_more(c);
        return;
    }
    if (c->state == SENDING && what & EPOLLOUT) send_more(c);
    if (c->state != CLOSED && what & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
}

/* Connections that failed take up work again when they have rested. */
static void wake_rested(uint64_t now) {
    for (unsigned i = 0; resting && i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (!c->rests_until_us || now < c->rests_until_us) continue;
        c->rests_until_us = 0;
        resting--;
        take_next(c, now);
    }
}

static void expire(uint64_t now) {
    for (unsigned i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (c->has_request && !c->got_byte && now > c->started_us + (uint64_t)(timeout_seconds * 1e6))
            fail(c, &timeouts);
    }
}

static void wait_in_line(uint64_t due) {
    if (waiting_size == waiting_capacity) {
        waiting_capacity = waiting_capacity ? waiting_capacity * 2 : 1024;
        waiting = realloc(waiting, waiting_capacity * sizeof *waiting);
        if (!waiting) abort();
    }
    waiting[waiting_size++] = due;
}

/* Starts what is due; returns when the next thing will be, or UINT64_MAX. */
static uint64_t start_due(uint64_t begun_us, uint64_t now) {
    static uint64_t begun;
    uint64_t total = rate > 0 ? (uint64_t)(rate * seconds + 0.5) : connection_count;
    double gap = rate > 0 ? 1e6 / rate : ramp * 1e6 / connection_count;
    for (; begun < total; begun++) {
        uint64_t due = begun_us + (uint64_t)(gap * (double)begun);
        if (due > now) return due;
        if (rate == 0) start(&connections[begun], now);
        else if (idle) {
            struct connection *c = idle;
            idle = c->next_idle;
            start(c, due);
        } else {
            wait_in_line(due);
        }
    }
    return UINT64_MAX;
}

static void run(void) {
    uint64_t begun = now_us(), last_expired = begun;
    end_us = begun + (uint64_t)(seconds * 1e6);
    uint64_t stop = end_us + (uint64_t)(drain * 1e6);
    for (;;) {
        uint64_t now = now_us();
        if (told_to_end && now < end_us) {
            end_us = now;
            stop = now + (uint64_t)(drain * 1e6);
        }
        uint64_t due = now < end_us ? start_due(begun, now) : UINT64_MAX;
        if (now >= stop || (now >= end_us && in_flight == 0 && waiting_first == waiting_size)) return;
        uint64_t wake = now < end_us ? end_us : stop;
        if (due < wake) wake = due;
        struct epoll_event what[256];
        now = now_us();
        uint64_t pause = wake > now ? wake - now : 0;
        if (pause > 100000) pause = 100000;
        if (resting && pause > REST_US) pause = REST_US;
        int count = epoll_wait(epoll_fd, what, 256, 0);
        if (count == 0 && pause > 0) { /* epoll_wait's milliseconds are too coarse for an open loop */
            struct pollfd polled = {.fd = epoll_fd, .events = POLLIN};
            struct timespec timeout = {.tv_sec = 0, .tv_nsec = (long)pause * 1000};
            ppoll(&polled, 1, &timeout, NULL);
            count = epoll_wait(epoll_fd, what, 256, 0);
        }
        for (int i = 0; i < count; i++) ready(what[i].data.ptr, what[i].events);
        now = now_us();
        wake_rested(now);
        if (now - last_expired > 100000) {
            last_expired = now;
            expire(now);
        }
    }
}

static void print_histogram(const char *name, const struct histogram *h) {
    printf("\"%s\": {\"count\": %llu, \"mean\": %.1f, \"p50\": %llu, \"p90\": %llu, \"p99\": %llu, \"max\": %llu}", name,
           (unsigned long long)h->total, h->total ? (double)h->sum / (double)h->total : 0.0,
           (unsigned long long)percentile(h, 0.5), (unsigned long long)percentile(h, 0.9),
           (unsigned long long)percentile(h, 0.99), (unsigned long long)h->max);
}

static void report(double elapsed) {
    unsigned open_streams = 0;
    for (unsigned i = 0; i < connection_count; i++)
        if (connections[i].has_request && connections[i].head_done && connections[i].status == 200) open_streams++;
    printf("{\"seconds\": %.6f, \"sent\": %lu, \"completed\": %lu, \"statuses\": {", elapsed, sent_requests, completed);
    const char *comma = "";
    for (unsigned i = 0; i < 600; i++) {
        if (!statuses[i]) continue;
        printf("%s\"%u\": %lu", comma, i, statuses[i]);
        comma = ", ";
    }
    printf("}, \"events\": %lu, \"connect_errors\": %lu, \"broken\": %lu, \"timeouts\": %lu, \"unfinished\": %lu, "
           "\"open_streams\": %u, ",
           events, connect_errors, broken, timeouts, in_flight + (waiting_size - waiting_first), open_streams);
    print_histogram("first_byte_us", &first_byte);
    printf(", ");
    print_histogram("whole_us", &whole);
    printf("}\n");
}

static void end_early(int number) {
    (void)number;
    told_to_end = 1;
}

static FILE *create_file(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(2);
    }
    return file;
}

static struct text read_file(const char *path) {
    struct text text = {0};
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    text.size = (size_t)ftell(file);
    rewind(file);
    text.data = malloc(text.size + 1);
    if (!text.data || fread(text.data, 1, text.size, file) != text.size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return text;
}

static void option(const char *name, const char *value) {
    double number = strtod(value, NULL);
    if (strcmp(name, "--port") == 0) target.sin_port = htons((uint16_t)number);
    else if (strcmp(name, "--request") == 0 && request_count < 64) requests[request_count++] = read_file(value);
    else if (strcmp(name, "--connections") == 0 && number >= 1) connection_count = (unsigned)number;
    else if (strcmp(name, "--seconds") == 0) seconds = number;
    else if (strcmp(name, "--rate") == 0) rate = number;
    else if (strcmp(name, "--drain") == 0) drain = number;
    else if (strcmp(name, "--timeout") == 0) timeout_seconds = number;
    else if (strcmp(name, "--ramp") == 0) ramp = number;
    else if (strcmp(name, "--log") == 0 && !request_log) request_log = create_file(value);
    else if (strcmp(name, "--spread") == 0) spread = number != 0;
    else {
        fprintf(stderr, "loadgen: %s %s is no option\n", name, value);
        exit(2);
    }
}

int main(int argc, char **argv) {
    target.sin_family = AF_INET;
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 1; i < argc; i += 2) option(argv[i], i + 1 < argc ? argv[i + 1] : "");
    if (!target.sin_port || !request_count) {
        fprintf(stderr, "loadgen: --port and --request are needed\n");
        return 2;
    }
    raise_descriptor_limit();
    signal(SIGTERM, end_early);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(connection_count, sizeof *connections);
    if (!connections) abort();
    if (rate > 0)
        for (unsigned i = 0; i < connection_count; i++) make_idle(&connections[i]);
    uint64_t begun = now_us();
    run();
    report((double)(now_us() - begun) / 1e6);
    if (request_log && fclose(request_log) != 0) {
        perror("loadgen: --log");
        return 1;
    }
    return 0;
}
