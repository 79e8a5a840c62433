/* The floor without a messaging library: passes frames of fixed size from producers to one consumer, and answers each
 * frame with a byte.
 *   bench_bare_relay HOST:PORT|/PATH     runs until it is killed
 * A connection begins with 'p' or 'c'. A producer then sends the size of its frames as 4 bytes in the machine's byte
 * order. The consumer gets the frames one after the other; while there is none, the relay keeps them. */
#include "tests/bench/load/load.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FEW 64

struct peer {
    int fd;
    char role;     /* 'p', 'c', or 0: not known yet */
    uint32_t size; /* of a producer's frames; 0: not known yet */
    struct load_buffer in, out;
};

static int listen_at(const char *address)
{
    char host[64];
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)load_port(address, host)) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    bool path = *address == '/';
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address);
    inet_pton(AF_INET, host, &in.sin_addr);
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr *at = path ? (struct sockaddr *)&un : (struct sockaddr *)&in;
    if (bind(fd, at, path ? sizeof un : sizeof in) != 0 || listen(fd, FEW) != 0) {
        perror(address);
        exit(1);
    }
    return fd;
}

static void watch(int epoll, struct peer *p, bool write)
{
    struct epoll_event event = { .events = write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = p };
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &event) != 0)
        epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event);
}

static void admit(int epoll, int listener)
{
    struct peer *p = calloc(1, sizeof *p);
    p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    watch(epoll, p, false);
}

static void dismiss(struct peer *p, struct peer **consumer)
{
    if (*consumer == p)
        *consumer = NULL;
    close(p->fd);
    free(p->in.data);
    free(p->out.data);
    free(p);
}

/* Reads who the peer is. Returns false while that has not arrived. */
static bool introduce(struct peer *p, struct peer **consumer)
{
    const char *data = p->in.data + p->in.begin;
    size_t size = p->in.end - p->in.begin;
    if (size >= 1 && *data == 'c') {
        p->role = 'c';
        p->in.begin++;
        *consumer = p;
    } else if (size >= 1 + sizeof p->size) {
        p->role = 'p';
        memcpy(&p->size, data + 1, sizeof p->size);
        p->in.begin += 1 + sizeof p->size;
    }
    return p->role != 0;
}

/* Moves complete frames to `frames` and answers each to its producer. */
static void pass_on(struct peer *p, struct load_buffer *frames)
{
    size_t count = p->size ? (p->in.end - p->in.begin) / p->size : 0;
    load_append(frames, p->in.data + p->in.begin, count * p->size);
    p->in.begin += count * p->size;
    memset(load_reserve(&p->out, count), 'a', count);
    p->out.end += count;
}

/* Returns false if the peer is gone. */
static bool serve(struct peer *p, struct peer **consumer, struct load_buffer *frames)
{
    size_t came;
    if (!load_receive(p->fd, &p->in, &came))
        return false;
    if (p->role == 0 && !introduce(p, consumer))
        return true;
    if (p->role == 'p')
        pass_on(p, frames);
    return load_send(p->fd, &p->out);
}

int main(int argc, char **argv)
{
    struct load_buffer frames = { 0 };
    struct peer *consumer = NULL, listener = { 0 };
    struct epoll_event events[FEW];
    if (argc != 2)
        return fprintf(stderr, "usage: bench_bare_relay HOST:PORT|/PATH\n"), 2;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool held = false; /* the consumer's socket is full */
    listener.fd = listen_at(argv[1]);
    watch(epoll, &listener, false);
    for (;;) {
        int count = epoll_wait(epoll, events, FEW, -1);
        for (int i = 0; i < count; i++) {
            struct peer *p = events[i].data.ptr;
            if (p == &listener)
                admit(epoll, listener.fd);
            else if (!serve(p, &consumer, &frames))
                dismiss(p, &consumer);
        }
        if (!consumer)
            continue;
        load_send(consumer->fd, &frames);
        bool full = frames.begin < frames.end;
        if (full != held)
            watch(epoll, consumer, full);
        held = full;
    }
}
