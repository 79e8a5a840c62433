#include "base/io_signal.h"

#include "base/io_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

/* libzmq's own descriptor, and the guest's. */
#define MOST (1 + IO_GUEST_FDS)

struct signal {
    int fd;
    void *data;    /* by which epoll reports it */
    bool pending;  /* signalled by this thread, and not read since */
    bool readable; /* reported by epoll, and not read since */
};

/* The I/O thread's alone. */
static _Thread_local bool here;
static struct signal signals[MOST];
static unsigned signal_count;

/* NULL: none of this thread's. */
static struct signal *signal_of(int fd)
{
    for (unsigned i = 0; here && i < signal_count; i++) {
        if (signals[i].fd == fd)
            return &signals[i];
    }
    return NULL;
}

/* ------------------------------------------------------------------ the I/O thread's */

/* libzmq began to watch its own descriptor before its I/O thread ran. */
static void watch_what_is_watched(int epoll_fd)
{
    char path[64], line[256];
    int fd, found = 0;
    unsigned long long data = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll_fd);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        found += sscanf(line, "tfd: %d events: %*x data: %llx", &fd, &data) == 2;
    if (f)
        fclose(f);
    if (found == 1)
        io_signal_watch(fd, (void *)(uintptr_t)data);
}

void io_signal_begin(int epoll_fd)
{
    here = true;
    signal_count = 0;
    watch_what_is_watched(epoll_fd);
}

void io_signal_end(void)
{
    while (here && signal_count > 0)
        io_signal_unwatch(signals[0].fd);
    here = false;
}

void io_signal_watch(int fd, void *data)
{
    if (here && signal_count < MOST)
        signals[signal_count++] = (struct signal){ .fd = fd, .data = data };
}

void io_signal_unwatch(int fd)
{
    struct signal *s = signal_of(fd);
    uint64_t one = 1;
    if (!s)
        return;
    if (s->pending) {
        ssize_t n = write(fd, &one, sizeof one);
        (void)n; /* nobody reads it any more */
    }
    *s = signals[--signal_count];
}

void io_signal_reported(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        for (unsigned k = 0; k < signal_count; k++)
            signals[k].readable |= signals[k].data == events[i].data.ptr;
    }
}

int io_signal_report(struct epoll_event *events, int most)
{
    int made = 0;
    for (unsigned k = 0; k < signal_count && made < most; k++) {
        if (signals[k].pending)
            events[made++] = (struct epoll_event){ .events = EPOLLIN, .data.ptr = signals[k].data };
    }
    return made;
}

/* ------------------------------------------------------------------ libzmq's */

static atomic_int process; /* 0: not known */

static void forget_process(void)
{
    atomic_store_explicit(&process, 0, memory_order_relaxed);
    here = false; /* a child has no I/O thread */
}

static bool hears_of_forks;

static void hear_of_forks(void)
{
    hears_of_forks = pthread_atfork(NULL, NULL, forget_process) == 0;
}

static pid_t ask_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, hear_of_forks);
    pid_t pid = getpid();
    if (hears_of_forks)
        atomic_store_explicit(&process, pid, memory_order_relaxed);
    return pid;
}

pid_t io_signal_getpid(void)
{
    pid_t pid = atomic_load_explicit(&process, memory_order_relaxed);
    return pid ? pid : ask_process();
}

int io_signal_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    const struct signal *s = count == 1 ? signal_of(fds->fd) : NULL;
    bool readable = s && (s->pending || s->readable);
    if (!s || (!readable && timeout != 0))
        return poll(fds, count, timeout);
    fds->revents = readable ? POLLIN : 0;
    return readable;
}

ssize_t io_signal_read(int fd, void *to, size_t size)
{
    struct signal *s = signal_of(fd);
    if (s && s->pending && size == sizeof(uint64_t)) {
        s->pending = false;
        *(uint64_t *)to = 1;
        return (ssize_t)size;
    }
    if (s)
        s->readable = false;
    return read(fd, to, size);
}

ssize_t io_signal_write(int fd, const void *from, size_t size)
{
    struct signal *s = signal_of(fd);
    if (!s || s->pending)
        return write(fd, from, size);
    s->pending = true;
    return (ssize_t)size;
}
