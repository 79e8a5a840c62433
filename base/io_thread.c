#include "base/io_thread.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* An I/O thread's name: this, behind its context's number. */
#define IO_THREAD_NAME "/ZMQbg/IO/0"
#define NUMBERS        9999u /* more do not fit into a thread's name beside that */
/* Instead of a number, while an I/O thread is about to take guests. */
#define TAKEN (-1)

/* A guest while it is at the I/O thread, or asks to be taken. */
struct visit {
    struct io_guest *guest;
    sem_t left;
};

static atomic_int hosting;           /* the number of the I/O thread that takes guests; 0: none */
static struct visit *_Atomic asking; /* for that one */
static atomic_int bell = -1;         /* an eventfd that wakes it */

/* Of the I/O thread that takes guests alone. */
static struct {
    int epoll_fd;
    struct visit *visit;
    int watched[IO_GUEST_FDS];
    unsigned ready;
    mono_t due;
} host;

/* Data of our events in the I/O thread's epoll: one address per descriptor, the last for the bell. */
static char marks[IO_GUEST_FDS + 1];
static _Thread_local enum { UNKNOWN, HOST, OTHER } role;
static const int nothing[IO_GUEST_FDS] = { -1, -1, -1, -1, -1 };

int io_thread_number(void)
{
    static atomic_uint numbers;
    unsigned number = atomic_load(&numbers);
    while (number < NUMBERS && !atomic_compare_exchange_weak(&numbers, &number, number + 1))
        ;
    return number < NUMBERS ? (int)number + 1 : 0;
}

/* ------------------------------------------------------------------ who takes guests */

static void add(int fd, void *mark)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = mark };
    epoll_ctl(host.epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* The number in the calling thread's name; 0: it is no I/O thread with a number. */
static int number_of_thread(void)
{
    char name[16] = "", *end;
    pthread_getname_np(pthread_self(), name, sizeof name);
    long number = strtol(name, &end, 10);
    return strcmp(end, IO_THREAD_NAME) == 0 ? (int)number : 0;
}

/* When the I/O thread ends, with its context. Its guest left before, to close its sockets. */
static void stop_hosting(void *unused)
{
    (void)unused;
    close(atomic_exchange(&bell, -1));
    atomic_store(&hosting, 0);
}

static pthread_key_t exit_key;

static void make_exit_key(void)
{
    pthread_key_create(&exit_key, stop_hosting);
}

/* Its first epoll_wait is the one for libzmq's descriptors. */
static bool start_hosting(int epoll_fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int none = 0, number = number_of_thread();
    if (number <= 0 || !atomic_compare_exchange_strong(&hosting, &none, TAKEN))
        return false;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_once(&once, make_exit_key);
    if (fd < 0 || pthread_setspecific(exit_key, &host) != 0) {
        close(fd);
        atomic_store(&hosting, 0);
        return false;
    }
    host.epoll_fd = epoll_fd;
    add(fd, &marks[IO_GUEST_FDS]);
    atomic_store(&bell, fd);
    atomic_store(&hosting, number);
    return true;
}

static bool is_host(int epoll_fd)
{
    if (role == UNKNOWN)
        role = start_hosting(epoll_fd) ? HOST : OTHER;
    return role == HOST && epoll_fd == host.epoll_fd;
}

bool io_thread_host(int number, struct io_guest *g)
{
    struct visit v = { .guest = g };
    uint64_t one = 1;
    if (number <= 0 || atomic_load(&hosting) != number)
        return false;
    sem_init(&v.left, 0, 0);
    atomic_store(&asking, &v);
    ssize_t n = write(atomic_load(&bell), &one, sizeof one);
    (void)n; /* EAGAIN: the counter is at its maximum, so the bell rings already */
    while (sem_wait(&v.left) != 0 && errno == EINTR)
        ;
    sem_destroy(&v.left);
    return true;
}

/* ------------------------------------------------------------------ the guest's turns */

/* Brings the I/O thread's epoll in line with what the guest waits for. A descriptor that was closed is removed from it
 * already. */
static void watch(const int fds[IO_GUEST_FDS])
{
    for (unsigned i = 0; i < IO_GUEST_FDS; i++) {
        if (fds[i] == host.watched[i])
            continue;
        if (host.watched[i] >= 0)
            epoll_ctl(host.epoll_fd, EPOLL_CTL_DEL, host.watched[i], NULL);
        if (fds[i] >= 0)
            add(fds[i], &marks[i]);
        host.watched[i] = fds[i];
    }
}

static void arrive(struct visit *v)
{
    host.visit = v;
    host.ready = 0;
    host.due = (mono_t){ 0 };
    memcpy(host.watched, nothing, sizeof nothing);
}

static void leave(void)
{
    struct visit *v = host.visit;
    watch(nothing);
    host.visit = NULL;
    sem_post(&v->left); /* from here on *v may be gone */
}

/* Runs the guest's turn if it is time. */
static void run_guest(void)
{
    struct io_guest *g = host.visit->guest;
    if (!host.ready && mono_before(clock_now().mono, host.due))
        return;
    unsigned ready = host.ready;
    host.ready = 0;
    if (g->turn(g->of, ready, &host.due))
        watch(g->fds);
    else
        leave();
}

static void answer_bell(void)
{
    uint64_t count;
    ssize_t n = read(atomic_load(&bell), &count, sizeof count);
    (void)n; /* who asks is seen at the next epoll_wait */
}

/* Takes our events out, and returns how many are libzmq's. */
static int take_own(struct epoll_event *events, int count)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        const char *mark = events[i].data.ptr;
        if (mark < marks || mark > marks + IO_GUEST_FDS)
            events[kept++] = events[i];
        else if (mark == marks + IO_GUEST_FDS)
            answer_bell();
        else
            host.ready |= 1u << (mark - marks);
    }
    return kept;
}

/* ------------------------------------------------------------------ waiting */

static int wait_ms(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    return (int)syscall(SYS_epoll_pwait, epoll_fd, events, most, timeout, NULL, _NSIG / 8);
}

/* To the nanosecond, where the kernel can (since Linux 5.11): lingers of several processes end at the same moment. */
static int wait_until(int epoll_fd, struct epoll_event *events, int most, mono_t until)
{
    static atomic_bool cannot;
    mono_t now = clock_now().mono;
    int64_t ns = mono_before(now, until) ? until.ns - now.ns : 0;
    const struct timespec wait = { .tv_sec = ns / (1000 * MONO_MS), .tv_nsec = ns % (1000 * MONO_MS) };
    int count = -1;
    if (!atomic_load_explicit(&cannot, memory_order_relaxed)) {
        count = (int)syscall(SYS_epoll_pwait2, epoll_fd, events, most, &wait, NULL, _NSIG / 8);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) /* EPERM: old filters of system calls say that */
            return count;
        atomic_store(&cannot, true);
    }
    int64_t ms = mono_wait_ms(until, now);
    return wait_ms(epoll_fd, events, most, ms > INT_MAX ? INT_MAX : (int)ms);
}

/* The loop's deadline may come before libzmq's timeout. Returning 0 then is harmless: libzmq looks at its timers and
 * calls again. */
static int wait_with_guest(struct epoll_event *events, int most, int timeout)
{
    mono_t end = timeout < 0 ? MONO_NEVER : mono_add_ms(clock_now().mono, timeout);
    return wait_until(host.epoll_fd, events, most, mono_min(end, host.due));
}

int io_thread_epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout)
{
    if (!is_host(epoll_fd))
        return wait_ms(epoll_fd, events, most, timeout);
    struct visit *v = host.visit ? NULL : atomic_exchange(&asking, NULL);
    if (v)
        arrive(v);
    if (host.visit)
        run_guest();
    bool has_deadline = host.visit && host.due.ns != MONO_NEVER.ns;
    int count = has_deadline ? wait_with_guest(events, most, timeout) : wait_ms(epoll_fd, events, most, timeout);
    return count > 0 ? take_own(events, count) : count;
}
