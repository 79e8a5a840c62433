/* With a real I/O thread of libzmq, and sockets over tcp. */
#include "base/io_thread.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define MESSAGES 1000

struct loop {
    void *context, *push, *pull;
    int number;
    struct io_guest guest;
    int events[2]; /* eventfds; the guest waits for the first */
    char thread[16];
    unsigned turns, ready, sent, received;
    mono_t due, last;
};

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n; /* if it failed, the test waits in vain */
}

static int open_loop(void **state)
{
    static struct loop l;
    char endpoint[64];
    size_t size = sizeof endpoint;
    l = (struct loop){ .context = zmq_ctx_new(), .number = io_thread_number(), .due = MONO_NEVER };
    zmq_ctx_set(l.context, ZMQ_THREAD_NAME_PREFIX, l.number);
    l.pull = zmq_socket(l.context, ZMQ_PULL);
    l.push = zmq_socket(l.context, ZMQ_PUSH);
    assert_int_equal(zmq_bind(l.pull, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(l.pull, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    assert_int_equal(zmq_connect(l.push, endpoint), 0);
    assert_int_equal(zmq_send(l.push, "hello", 5, 0), 5);
    assert_int_equal(zmq_recv(l.pull, endpoint, sizeof endpoint, 0),
                     5); /* the I/O thread is there, for it passed that */
    for (int i = 0; i < 2; i++)
        l.events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l.guest = io_guest(&l, NULL);
    l.guest.fds[0] = l.events[0];
    *state = &l;
    return 0;
}

static int close_loop(void **state)
{
    struct loop *l = *state;
    zmq_close(l->push);
    zmq_close(l->pull);
    zmq_ctx_term(l->context);
    io_thread_forget(l->number);
    close(l->events[0]);
    close(l->events[1]);
    return 0;
}

typedef bool turn_fn(void *of, unsigned ready, mono_t *due);

static void host(struct loop *l, turn_fn *turn)
{
    l->guest.turn = turn;
    assert_true(io_thread_host(l->number, &l->guest));
}

/* ------------------------------------------------------------------ turns */

static bool note_thread(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    (void)ready;
    *due = MONO_NEVER;
    l->turns++;
    pthread_getname_np(pthread_self(), l->thread, sizeof l->thread);
    return false;
}

static void a_guest_runs_on_the_io_thread_until_it_leaves(void **state)
{
    struct loop *l = *state;
    char expected[32];
    host(l, note_thread);
    snprintf(expected, sizeof expected, "%d/ZMQbg/IO/0", l->number);
    assert_string_equal(l->thread, expected);
    assert_int_equal(l->turns, 1);
    host(l, note_thread);
    assert_int_equal(l->turns, 2);
}

/* Rings its own descriptor in the first turn, and leaves in the turn that this causes. */
static bool ring_and_wait(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    *due = MONO_NEVER;
    l->turns++;
    l->ready |= ready;
    if (l->turns == 1)
        ring(l->guest.fds[0]);
    return l->turns < 2;
}

static void a_guest_hears_which_descriptor_is_readable(void **state)
{
    struct loop *l = *state;
    l->guest.fds[3] = l->events[0];
    l->guest.fds[0] = l->events[1];
    host(l, ring_and_wait);
    assert_int_equal(l->ready, 1u << 0);
}

/* In the first turn it exchanges what it waits for. */
static bool exchange(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    *due = MONO_NEVER;
    l->turns++;
    l->ready |= ready;
    if (l->turns == 1) {
        ring(l->events[0]);
        l->guest.fds[0] = -1;
        l->guest.fds[1] = l->events[1];
        ring(l->events[1]);
    }
    return l->turns < 2;
}

static void a_guest_may_change_what_it_waits_for(void **state)
{
    struct loop *l = *state;
    host(l, exchange);
    assert_int_equal(l->ready, 1u << 1);
}

/* Replaces its descriptor by another one that the kernel may give the same number. */
static bool reopen(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    *due = l->turns == 0 ? MONO_AT_ONCE : MONO_NEVER;
    l->ready |= ready;
    if (++l->turns == 1) {
        close(l->events[0]);
        l->guest.fds[0] = -1;
    } else if (l->turns == 2) {
        l->events[0] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        l->guest.fds[0] = l->events[0];
    }
    return l->turns < 3;
}

static void a_closed_descriptor_makes_room_for_the_next(void **state)
{
    struct loop *l = *state;
    host(l, reopen);
    assert_int_equal(l->ready, 1u << 0);
}

static bool wait_once(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    l->ready |= ready;
    l->last = clock_now().mono;
    if (l->turns++ == 0)
        l->due = (mono_t){ l->last.ns + 1500000 };
    *due = l->due;
    return l->turns < 2;
}

static void a_turn_comes_when_it_is_due_and_not_before(void **state)
{
    struct loop *l = *state;
    host(l, wait_once);
    assert_int_equal(l->turns, 2);
    assert_int_equal(l->ready, 0);
    assert_false(mono_before(l->last, l->due));
}

/* Sends a message when the one before has come back: each needs the I/O thread's own work in between. */
static bool pass_on(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    char text[8];
    (void)ready;
    *due = MONO_NEVER;
    while (zmq_recv(l->pull, text, sizeof text, ZMQ_DONTWAIT) >= 0)
        l->received++;
    if (l->sent == l->received && l->sent < MESSAGES) {
        l->sent += zmq_send(l->push, "hello", 5, ZMQ_DONTWAIT) == 5;
    }
    l->turns++;
    return l->received < MESSAGES;
}

static void messages_pass_while_a_guest_is_there(void **state)
{
    struct loop *l = *state;
    size_t size = sizeof l->guest.fds[0];
    zmq_getsockopt(l->pull, ZMQ_FD, &l->guest.fds[0], &size);
    host(l, pass_on);
    assert_int_equal(l->received, MESSAGES);
}

static void messages_pass_after_a_guest_has_left(void **state)
{
    struct loop *l = *state;
    char text[8];
    host(l, note_thread);
    assert_int_equal(zmq_send(l->push, "hello", 5, 0), 5);
    assert_int_equal(zmq_recv(l->pull, text, sizeof text, 0), 5);
}

static void an_io_thread_takes_only_guests_with_its_number(void **state)
{
    struct loop *l = *state;
    host(l, note_thread);
    assert_false(io_thread_host(l->number + 1, &l->guest));
    assert_false(io_thread_host(0, &l->guest));
    assert_int_equal(l->turns, 1);
}

static void of_two_io_threads_one_takes_guests(void **state)
{
    struct loop *l = *state;
    void *context = zmq_ctx_new();
    int number = io_thread_number();
    host(l, note_thread); /* it takes guests */
    zmq_ctx_set(context, ZMQ_THREAD_NAME_PREFIX, number);
    void *pull = zmq_socket(context, ZMQ_PULL), *push = zmq_socket(context, ZMQ_PUSH);
    char endpoint[64], text[8];
    size_t size = sizeof endpoint;
    assert_int_equal(zmq_bind(pull, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(pull, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    assert_int_equal(zmq_connect(push, endpoint), 0);
    assert_int_equal(zmq_send(push, "hello", 5, 0), 5);
    assert_int_equal(zmq_recv(pull, text, sizeof text, 0), 5); /* it has waited, and works as ever */
    assert_false(io_thread_host(number, &l->guest));
    zmq_close(pull);
    zmq_close(push);
    zmq_ctx_term(context);
    host(l, note_thread); /* its end changed nothing for the other */
    assert_int_equal(l->turns, 2);
}

static void other_threads_wait_as_ever(void **state)
{
    struct loop *l = *state;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 7 }, out;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    assert_int_equal(io_thread_epoll_ctl(fd, EPOLL_CTL_ADD, l->events[0], &event), 0);
    assert_int_equal(io_thread_epoll_wait(fd, &out, 1, 0), 0);
    ring(l->events[0]);
    assert_int_equal(io_thread_epoll_wait(fd, &out, 1, -1), 1);
    assert_int_equal(out.data.u32, 7);
    assert_int_equal(io_thread_epoll_wait(-1, &out, 1, 0), -1);
    assert_int_equal(errno, EBADF);
    close(fd);
}

static void numbers_are_given_to_one_at_a_time(void **state)
{
    (void)state;
    bool given[10000] = { false };
    for (int i = 0; i < 9999; i++) {
        int number = io_thread_number();
        assert_true(number > 0 && number < 10000 && !given[number]);
        given[number] = true;
    }
    assert_int_equal(io_thread_number(), 0);
    io_thread_forget(4711);
    assert_int_equal(io_thread_number(), 4711);
    for (int i = 1; i < 10000; i++)
        io_thread_forget(i);
}

/* Like a thread that a callback started: it has inherited the I/O thread's name. */
static void *wait_under_its_name(void *arg)
{
    const struct loop *l = arg;
    char name[32];
    struct epoll_event out;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    snprintf(name, sizeof name, "%d/ZMQbg/IO/0", l->number);
    pthread_setname_np(pthread_self(), name);
    io_thread_epoll_wait(fd, &out, 1, 0);
    close(fd);
    return NULL;
}

static void a_thread_that_only_has_its_name_takes_no_guests(void **state)
{
    struct loop *l = *state;
    pthread_t thread;
    host(l, note_thread);
    close_loop(state); /* the I/O thread is gone; nobody takes guests */
    assert_int_equal(pthread_create(&thread, NULL, wait_under_its_name, l), 0);
    pthread_join(thread, NULL);
    assert_false(io_thread_host(l->number, &l->guest));
    open_loop(state);
    host(l, note_thread);
    assert_int_equal(l->turns, 1);
}

/* Stays until its context is terminated, and says that it is there. */
static bool stay(void *of, unsigned ready, mono_t *due)
{
    struct loop *l = of;
    (void)ready;
    *due = MONO_NEVER;
    ring(l->events[1]);
    return true;
}

static void *terminate(void *arg)
{
    struct loop *l = arg;
    struct pollfd there = { .fd = l->events[1], .events = POLLIN };
    poll(&there, 1, -1);
    zmq_close(l->push);
    zmq_close(l->pull);
    zmq_ctx_term(l->context);
    return NULL;
}

static void a_guest_is_given_back_when_the_context_is_terminated(void **state)
{
    struct loop *l = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, terminate, l), 0);
    host(l, stay);
    pthread_join(thread, NULL);
    assert_false(io_thread_host(l->number, &l->guest));
    io_thread_forget(l->number);
    close(l->events[0]);
    close(l->events[1]);
    open_loop(state);
}

static void a_child_process_begins_anew(void **state)
{
    struct loop *l = *state;
    int status;
    host(l, note_thread);
    pid_t child = fork();
    if (child == 0) {
        void *inherited = l;
        struct loop *own;
        bool had = io_thread_host(l->number, &l->guest);
        open_loop(&inherited);
        own = inherited;
        own->guest.turn = note_thread;
        bool has = io_thread_host(own->number, &own->guest);
        _exit(!had && has ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    host(l, note_thread);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, close_loop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_runs_on_the_io_thread_until_it_leaves),
        TEST(a_guest_hears_which_descriptor_is_readable),
        TEST(a_guest_may_change_what_it_waits_for),
        TEST(a_closed_descriptor_makes_room_for_the_next),
        TEST(a_turn_comes_when_it_is_due_and_not_before),
        TEST(messages_pass_while_a_guest_is_there),
        TEST(messages_pass_after_a_guest_has_left),
        TEST(an_io_thread_takes_only_guests_with_its_number),
        TEST(of_two_io_threads_one_takes_guests),
        TEST(other_threads_wait_as_ever),
        TEST(a_thread_that_only_has_its_name_takes_no_guests),
        TEST(a_guest_is_given_back_when_the_context_is_terminated),
        TEST(a_child_process_begins_anew),
        cmocka_unit_test(numbers_are_given_to_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
