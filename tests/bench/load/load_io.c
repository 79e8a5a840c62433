/* Waiting, connecting and buffers, for adapters that do their own I/O. */
#include "tests/bench/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SECOND       1000000000
#define SLEEP_NS     2000000
#define RECEIVE_SIZE 262144

int64_t load_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

bool load_sleep(int64_t until)
{
    int64_t most = load_now() + SLEEP_NS;
    int64_t at = until < most ? until : most;
    struct timespec t = { .tv_sec = at / SECOND, .tv_nsec = at % SECOND };
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    return true;
}

int load_poll(int fd, bool write, int64_t until)
{
    int64_t left = until - load_now();
    left = left > 0 ? left : 0;
    struct timespec t = { .tv_sec = left / SECOND, .tv_nsec = left % SECOND };
    struct pollfd p = { .fd = fd, .events = (short)(write ? POLLIN | POLLOUT : POLLIN) };
    return ppoll(&p, 1, &t, NULL) > 0 ? p.revents : 0;
}

int load_port(const char *address, char host[64])
{
    const char *colon = strrchr(address, ':');
    snprintf(host, 64, "%.*s", colon ? (int)(colon - address) : 0, address);
    return colon ? atoi(colon + 1) : 0;
}

static int connect_tcp(const char *address)
{
    char host[64];
    int on = 1;
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)load_port(address, host)) };
    inet_pton(AF_INET, host, &in.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(fd, (struct sockaddr *)&in, sizeof in) == 0 ? fd : (close(fd), -1);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&un, sizeof un) == 0 ? fd : (close(fd), -1);
}

int load_connect(const char *address)
{
    int fd = *address == '/' ? connect_unix(address) : connect_tcp(address);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

char *load_reserve(struct load_buffer *b, size_t size)
{
    if (b->begin == b->end)
        b->begin = b->end = 0;
    if (b->end + size > b->room &&
        b->begin > b->end - b->begin) { /* otherwise a long backlog would be moved again and again */
        memmove(b->data, b->data + b->begin, b->end - b->begin);
        b->end -= b->begin;
        b->begin = 0;
    }
    if (b->end + size > b->room) {
        b->room = 2 * (b->end + size);
        b->data = realloc(b->data, b->room);
    }
    return b->data + b->end;
}

void load_append(struct load_buffer *b, const void *data, size_t size)
{
    memcpy(load_reserve(b, size), data, size);
    b->end += size;
}

bool load_send(int fd, struct load_buffer *b)
{
    while (b->begin < b->end) {
        ssize_t n = send(fd, b->data + b->begin, b->end - b->begin, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        b->begin += (size_t)n;
    }
    return true;
}

bool load_receive(int fd, struct load_buffer *b, size_t *came)
{
    ssize_t n = recv(fd, load_reserve(b, RECEIVE_SIZE), RECEIVE_SIZE, 0);
    *came = n > 0 ? (size_t)n : 0;
    b->end += *came;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}
