#include "base/io_thread.h"

#include "base/clock.h"
#include "base/epoll_output.h"
#include "base/io_signal.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS 9999u /* more do not fit into a thread's name beside that */
/* Reports that need no system call may follow each other so often, before the kernel is asked, too. */
#define REPORTS_IN_A_ROW 8

/* A guest while it is at the I/O thread, or asks to be taken. */
struct visit {
    struct io_guest *guest;
    sem_t left;
};

/* One I/O thread of the process takes guests. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool expected[NUMBERS + 1]; /* numbers whose I/O thread has not come yet */
static int hosting;                /* the number of the one that takes guests; 0: none */
static int bell = -1;              /* an eventfd that wakes it */
static struct visit *_Atomic asking;

/* That I/O thread's own. */
static struct {
    int epoll_fd;
    struct visit *visit;
    int watched[IO_GUEST_FDS];
    unsigned ready;
    mono_t due;
    unsigned reports_in_a_row;
} host;

/* Data of our events in the I/O thread's epoll: one address per descriptor, the last for the bell. */
static char marks[IO_GUEST_FDS + 1];
static _Thread_local enum { UNKNOWN, HOST, OTHER } role;

static void leave(struct visit *v)
{
    sem_post(&v->left); /* from here on *v may be gone */
}

/* ------------------------------------------------------------------ who takes guests */

/* Numbers begin somewhere, because another copy of this file may be in the process (libsluice, shared and static). */
int io_thread_number(void)
{
    unsigned start = 0;
    int number = 0;
    if (getrandom(&start, sizeof start, GRND_NONBLOCK) < 0)
        start = (unsigned)getpid();
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < NUMBERS && !number; i++) {
        int next = (int)((start + i) % NUMBERS) + 1;
        number = expected[next] || next == hosting ? 0 : next;
    }
    expected[number] = number != 0;
    pthread_mutex_unlock(&lock);
    return number;
}

void io_thread_forget(int number)
{
    pthread_mutex_lock(&lock);
    expected[number] = false;
    pthread_mutex_unlock(&lock);
}

/* The number in the calling thread's name; 0: it has none. Threads inherit names, so this alone proves nothing. */
static int number_of_thread(void)
{
    char name[16] = "", expected_name[32];
    pthread_getname_np(pthread_self(), name, sizeof name);
    long number = strtol(name, NULL, 10);
    snprintf(expected_name, sizeof expected_name, IO_THREAD_NAME, (int)number);
    return strcmp(name, expected_name) == 0 && number > 0 && number <= (long)NUMBERS ? (int)number : 0;
}

/* When the I/O thread ends, with its context. Whoever is there goes on elsewhere. */
static void stop_hosting(void *unused)
{
    (void)unused;
    io_signal_end();
    pthread_mutex_lock(&lock);
    struct visit *there = host.visit, *asks = atomic_exchange(&asking, NULL);
    close(bell);
    bell = -1;
    hosting = 0;
    host.visit = NULL;
    pthread_mutex_unlock(&lock);
    if (there)
        leave(there);
    if (asks)
        leave(asks);
}

/* A child has only the thread that forked: no I/O thread, and nobody at it. */
static void reset_in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    memset(expected, 0, sizeof expected);
    if (bell >= 0)
        close(bell);
    bell = -1;
    hosting = 0;
    atomic_store(&asking, NULL);
    host.visit = NULL;
    role = UNKNOWN;
}

static pthread_key_t exit_key;
static bool has_exit_key;

static void prepare(void)
{
    has_exit_key = pthread_atfork(NULL, NULL, reset_in_child) == 0 && pthread_key_create(&exit_key, stop_hosting) == 0;
}

static bool add(int fd, void *mark)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = mark };
    return io_thread_epoll_ctl(host.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The calling thread's first epoll_wait: if it is an I/O thread, then the one for libzmq's descriptors. The lock is
 * held. */
static bool start_hosting(int epoll_fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int number = number_of_thread();
    bool comes = expected[number];
    expected[number] = false;
    if (!comes || hosting)
        return false;
    pthread_once(&once, prepare);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    host.epoll_fd = epoll_fd;
    io_signal_begin(epoll_fd);
    if (fd >= 0 && has_exit_key && pthread_setspecific(exit_key, &host) == 0 && add(fd, &marks[IO_GUEST_FDS])) {
        bell = fd;
        hosting = number;
        epoll_output_begin();
        return true;
    }
    io_signal_end();
    if (has_exit_key)
        pthread_setspecific(exit_key, NULL);
    if (fd >= 0)
        close(fd);
    return false;
}

static bool is_host(int epoll_fd)
{
    if (role == UNKNOWN) {
        pthread_mutex_lock(&lock);
        role = start_hosting(epoll_fd) ? HOST : OTHER;
        pthread_mutex_unlock(&lock);
    }
    return role == HOST && epoll_fd == host.epoll_fd;
}

/* False: no I/O thread of that number takes guests. */
static bool ask(int number, struct visit *v)
{
    uint64_t one = 1;
    pthread_mutex_lock(&lock);
    bool may = number && number == hosting;
    if (may) {
        atomic_store(&asking, v);
        ssize_t n = write(bell, &one, sizeof one);
        (void)n; /* EAGAIN: the counter is at its maximum, so the bell rings already */
    }
    pthread_mutex_unlock(&lock);
    return may;
}

bool io_thread_host(int number, struct io_guest *g)
{
    struct visit v = { .guest = g };
    sem_init(&v.left, 0, 0);
    bool taken = ask(number, &v);
    while (taken && sem_wait(&v.left) != 0 && errno == EINTR)
        ;
    sem_destroy(&v.left);
    return taken;
}

/* ------------------------------------------------------------------ the guest's turns */

/* Brings the I/O thread's epoll in line with what the guest waits for. A descriptor that was closed is removed from it
 * already. */
static bool watch(const int fds[IO_GUEST_FDS])
{
    bool fine = true;
    for (unsigned i = 0; i < IO_GUEST_FDS; i++) {
        if (fds[i] != host.watched[i] && host.watched[i] >= 0) {
            io_signal_unwatch(host.watched[i]);
            io_thread_epoll_ctl(host.epoll_fd, EPOLL_CTL_DEL, host.watched[i], NULL);
        }
    }
    for (unsigned i = 0; i < IO_GUEST_FDS; i++) {
        if (fds[i] != host.watched[i] && fds[i] >= 0) {
            fine = add(fds[i], &marks[i]) && fine;
            io_signal_watch(fds[i], &marks[i]);
        }
        host.watched[i] = fds[i];
    }
    return fine;
}

static void arrive(struct visit *v)
{
    const struct io_guest nothing = io_guest(NULL, NULL);
    host.visit = v;
    host.ready = 0;
    host.due = MONO_AT_ONCE;
    memcpy(host.watched, nothing.fds, sizeof host.watched);
}

/* Runs the guest's turn if it is time. A guest that cannot wait here has to go on elsewhere. */
static void run_guest(void)
{
    struct visit *v = host.visit;
    struct io_guest *g = v->guest;
    if (!host.ready && mono_before(clock_now().mono, host.due))
        return;
    unsigned ready = host.ready;
    host.ready = 0;
    if (g->turn(g->of, ready, &host.due) && watch(g->fds))
        return;
    watch(io_guest(NULL, NULL).fds);
    host.visit = NULL;
    leave(v);
}

static void answer_bell(void)
{
    uint64_t count;
    ssize_t n = read(bell, &count, sizeof count);
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

/* As an older kernel, or an old filter of system calls, answers where it does not know the call. */
static bool is_unknown_call(int error)
{
    return error == ENOSYS || error == EPERM;
}

/* -1 with ENOSYS where the system cannot. */
static int wait_ns(int epoll_fd, struct epoll_event *events, int most, int64_t ns)
{
#if defined SYS_epoll_pwait2 && __SIZEOF_LONG__ == 8
    const struct timespec wait = { .tv_sec = ns / (1000 * MONO_MS), .tv_nsec = ns % (1000 * MONO_MS) };
    return (int)syscall(SYS_epoll_pwait2, epoll_fd, events, most, &wait, NULL, _NSIG / 8);
#else
    (void)epoll_fd, (void)events, (void)most, (void)ns;
    errno = ENOSYS;
    return -1;
#endif
}

/* To the nanosecond, where the kernel can (since Linux 5.11): lingers of several processes end at the same moment. */
static int wait_until(int epoll_fd, struct epoll_event *events, int most, mono_t now, mono_t until)
{
    static atomic_bool cannot;
    if (!atomic_load_explicit(&cannot, memory_order_relaxed)) {
        int count = wait_ns(epoll_fd, events, most, mono_before(now, until) ? until.ns - now.ns : 0);
        if (count >= 0 || !is_unknown_call(errno))
            return count;
        atomic_store(&cannot, true);
    }
    int64_t ms = mono_wait_ms(until, now);
    return wait_ms(epoll_fd, events, most, ms > INT_MAX ? INT_MAX : (int)ms);
}

/* The loop's deadline may come before libzmq's timeout. Returning 0 then is harmless: libzmq looks at its timers and
 * calls again. */
static int wait_as_host(struct epoll_event *events, int most, int timeout)
{
    if (timeout == 0 || !host.visit || host.due.ns == MONO_NEVER.ns)
        return wait_ms(host.epoll_fd, events, most, timeout);
    mono_t now = clock_now().mono, end = timeout < 0 ? MONO_NEVER : mono_add_ms(now, timeout);
    return wait_until(host.epoll_fd, events, most, now, mono_min(end, host.due));
}

/* What is to be handled before the thread may sleep, without a system call. */
static int report(struct epoll_event *events, int most)
{
    int signals = io_signal_report(events, most);
    return signals + epoll_output_report(host.epoll_fd, events + signals, most - signals);
}

static int report_or_wait(struct epoll_event *events, int most, int timeout)
{
    int reports = report(events, most);
    if (reports == most || (reports > 0 && host.reports_in_a_row++ < REPORTS_IN_A_ROW))
        return reports;
    host.reports_in_a_row = 0;
    int count = wait_as_host(events + reports, most - reports, reports ? 0 : timeout);
    io_signal_reported(events + reports, count);
    return count < 0 && reports ? reports : reports + count;
}

int io_thread_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    if (role == HOST && epoll_fd == host.epoll_fd)
        return epoll_output_ctl(epoll_fd, op, fd, event);
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
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
    int count = report_or_wait(events, most, timeout);
    return count > 0 ? take_own(events, count) : count;
}
