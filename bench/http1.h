/* What the load generator and the upstream share of HTTP/1.1: header lookup and chunked bodies (RFC 9112). */
#ifndef TRUNKLINE_BENCH_HTTP1_H
#define TRUNKLINE_BENCH_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

static inline uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Thousands of connections need more descriptors than the usual soft limit of 1024. */
static inline void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Bytes up to and including the blank line, or 0 when it has not come yet. */
static inline size_t head_length(const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

/* The value of header `name` within a head of `size` bytes, or NULL; it ends at the next CR. */
static inline const char *header_value(const char *head, size_t size, const char *name) {
    size_t length = strlen(name);
    const char *end = head + size;
    for (const char *line = memchr(head, '\n', size); line && line + 1 < end;
         line = memchr(line + 1, '\n', (size_t)(end - line - 1))) {
        const char *start = line + 1;
        if ((size_t)(end - start) > length && start[length] == ':' && strncasecmp(start, name, length) == 0) {
            start += length + 1;
            while (start < end && (*start == ' ' || *start == '\t')) start++;
            return start;
        }
    }
    return NULL;
}

enum chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE, CHUNK_BAD };

struct chunked {
    enum chunk_state state;
    uint64_t left;   /* bytes left of this chunk, or its size so far */
    bool line_empty; /* in a trailer: nothing on this line yet */
};

/* Consumes up to the end of one stretch of payload. Returns the bytes consumed; `*payload` (NULL: none) and
 * `*payload_size` are what they carried. Call again until everything is consumed, or the state is DONE or BAD. */
static inline size_t chunked_next(struct chunked *chunked, const char *data, size_t size, const char **payload,
                                  size_t *payload_size) {
    size_t used = 0;
    *payload = NULL;
    *payload_size = 0;
    while (used < size && chunked->state != CHUNK_DONE && chunked->state != CHUNK_BAD) {
        char byte = data[used];
        switch (chunked->state) {
        case CHUNK_DATA: {
            size_t take = size - used < chunked->left ? size - used : (size_t)chunked->left;
            *payload = data + used;
            *payload_size = take;
            chunked->left -= take;
            if (chunked->left == 0) chunked->state = CHUNK_DATA_END;
            return used + take;
        }
        case CHUNK_SIZE: {
            int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                        : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                        : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                     : -1;
            if (digit >= 0 && chunked->left < (UINT64_C(1) << 56)) {
                chunked->left = chunked->left * 16 + (unsigned)digit;
                used++;
            } else {
                chunked->state = digit < 0 && strchr("\r\n; ", byte) && byte ? CHUNK_EXTENSION : CHUNK_BAD;
            }
            break;
        }
        case CHUNK_EXTENSION:
            if (byte == '\n') {
                chunked->state = chunked->left ? CHUNK_DATA : CHUNK_TRAILER;
                chunked->line_empty = true;
            }
            used++;
            break;
        case CHUNK_DATA_END:
            if (byte == '\n') chunked->state = CHUNK_SIZE;
            else if (byte != '\r') chunked->state = CHUNK_BAD;
            used++;
            break;
        case CHUNK_TRAILER:
            if (byte == '\n') {
                if (chunked->line_empty) chunked->state = CHUNK_DONE;
                chunked->line_empty = true;
            } else if (byte != '\r') {
                chunked->line_empty = false;
            }
            used++;
            break;
        default:
            break;
        }
    }
    return used;
}

#endif
