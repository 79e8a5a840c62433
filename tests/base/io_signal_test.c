/* With real eventfds and epoll. read() and write() are libc's here: what only the kernel knows. */
#include "base/io_signal.h"

#include "base/io_thread.h"

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

#include <cmocka.h>

/* One thread with libzmq's descriptor, which it watched before it began, and a guest's. */
struct place {
    int epoll_fd, own, guest;
};

static void add(const struct place *p, int fd, void *data)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };
    assert_int_equal(epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

static int open_place(void **state)
{
    static struct place p;
    p = (struct place){ epoll_create1(EPOLL_CLOEXEC), eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK) };
    add(&p, p.own, &p.own);
    io_signal_begin(p.epoll_fd);
    add(&p, p.guest, &p.guest);
    io_signal_watch(p.guest, &p.guest);
    *state = &p;
    return 0;
}

static int close_place(void **state)
{
    const struct place *p = *state;
    io_signal_end();
    close(p->epoll_fd);
    close(p->own);
    close(p->guest);
    return 0;
}

/* As libzmq does. */
static void signal_it(int fd)
{
    uint64_t one = 1;
    assert_int_equal(io_signal_write(fd, &one, sizeof one), sizeof one);
}

static bool take(int fd)
{
    uint64_t count = 0;
    return io_signal_read(fd, &count, sizeof count) == sizeof count && count == 1;
}

static bool is_signalled(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n = io_signal_poll(&p, 1, 0);
    assert_int_equal(p.revents, n ? POLLIN : 0);
    return n == 1;
}

static void *signal_from_elsewhere(void *fd)
{
    signal_it(*(const int *)fd);
    return NULL;
}

static void run_elsewhere(void *(*start)(void *), const int *fd)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, start, (void *)fd), 0);
    pthread_join(thread, NULL);
}

static unsigned kernel_count(int fd)
{
    uint64_t count = 0;
    ssize_t n = read(fd, &count, sizeof count);
    return n < 0 ? 0 : (unsigned)count;
}

/* Only that one is. */
static bool is_reported(const void *data)
{
    struct epoll_event events[4];
    int count = io_signal_report(events, 4);
    return count == 1 && events[0].data.ptr == data && events[0].events == EPOLLIN;
}

static bool nothing_is_reported(void)
{
    struct epoll_event event;
    return io_signal_report(&event, 1) == 0;
}

static void epoll_reports(const struct place *p, const void *data)
{
    struct epoll_event event;
    assert_int_equal(epoll_wait(p->epoll_fd, &event, 1, 0), 1);
    assert_ptr_equal(event.data.ptr, data);
    io_signal_reported(&event, 1);
}

static void the_threads_signal_to_itself_stays_out_of_the_kernel(void **state)
{
    const struct place *p = *state;
    signal_it(p->own);
    assert_true(is_signalled(p->own));
    assert_true(is_reported(&p->own));
    assert_int_equal(kernel_count(p->own), 0);
    assert_true(take(p->own));
    assert_false(is_signalled(p->own));
    assert_true(nothing_is_reported());
    assert_false(take(p->own));
}

static void it_is_reported_until_it_is_read(void **state)
{
    const struct place *p = *state;
    signal_it(p->guest);
    assert_true(is_reported(&p->guest));
    assert_true(is_reported(&p->guest));
    assert_true(take(p->guest));
    assert_true(nothing_is_reported());
}

static void no_more_are_reported_than_there_is_room_for(void **state)
{
    const struct place *p = *state;
    struct epoll_event event;
    signal_it(p->own);
    signal_it(p->guest);
    assert_int_equal(io_signal_report(&event, 0), 0);
    assert_int_equal(io_signal_report(&event, 1), 1);
}

static void another_threads_signal_is_seen_when_epoll_has_reported_it(void **state)
{
    const struct place *p = *state;
    run_elsewhere(signal_from_elsewhere, &p->guest);
    assert_false(is_signalled(p->guest));
    epoll_reports(p, &p->guest);
    assert_true(is_signalled(p->guest));
    assert_true(take(p->guest));
    assert_false(is_signalled(p->guest));
}

static void waiting_for_another_threads_signal_ends(void **state)
{
    const struct place *p = *state;
    struct pollfd fd = { .fd = p->own, .events = POLLIN };
    run_elsewhere(signal_from_elsewhere, &p->own);
    assert_int_equal(io_signal_poll(&fd, 1, -1), 1);
    assert_true(take(p->own));
    signal_it(p->own);
    assert_int_equal(io_signal_poll(&fd, 1, -1), 1);
}

static void a_signal_that_was_not_seen_is_there_for_the_next_thread(void **state)
{
    const struct place *p = *state;
    signal_it(p->guest);
    io_signal_unwatch(p->guest);
    assert_int_equal(kernel_count(p->guest), 1);
    signal_it(p->own);
    io_signal_end();
    assert_int_equal(kernel_count(p->own), 1);
}

static void descriptors_that_are_not_watched_go_through_the_kernel(void **state)
{
    const struct place *p = *state;
    int other = eventfd(0, EFD_NONBLOCK);
    io_signal_unwatch(p->guest);
    signal_it(p->guest);
    signal_it(other);
    assert_true(is_signalled(p->guest) && is_signalled(other));
    assert_int_equal(kernel_count(p->guest), 1);
    assert_true(take(other));
    assert_false(is_signalled(other));
    close(other);
}

static void a_descriptor_without_room_for_it_goes_through_the_kernel(void **state)
{
    (void)state;
    int fds[IO_GUEST_FDS];
    for (int i = 0; i < IO_GUEST_FDS; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
        io_signal_watch(fds[i], &fds[i]);
        signal_it(fds[i]);
        assert_int_equal(kernel_count(fds[i]), i == IO_GUEST_FDS - 1); /* one place has the guest's */
    }
    for (int i = 0; i < IO_GUEST_FDS; i++) {
        io_signal_unwatch(fds[i]);
        close(fds[i]);
    }
}

static void an_epoll_that_watched_several_descriptors_is_left_to_the_kernel(void **state)
{
    struct place p = *(const struct place *)*state;
    io_signal_end();
    io_signal_begin(p.epoll_fd);
    signal_it(p.own);
    assert_int_equal(kernel_count(p.own), 1);
}

static void a_child_has_a_number_and_no_io_thread(void **state)
{
    const struct place *p = *state;
    int status = 0;
    assert_int_equal(io_signal_getpid(), getpid());
    assert_int_equal(io_signal_getpid(), getpid());
    pid_t child = fork();
    if (child == 0) {
        signal_it(p->own);
        _exit(io_signal_getpid() == getpid() && kernel_count(p->own) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, open_place, close_place)
        T(the_threads_signal_to_itself_stays_out_of_the_kernel),
        T(it_is_reported_until_it_is_read),
        T(no_more_are_reported_than_there_is_room_for),
        T(another_threads_signal_is_seen_when_epoll_has_reported_it),
        T(waiting_for_another_threads_signal_ends),
        T(a_signal_that_was_not_seen_is_there_for_the_next_thread),
        T(descriptors_that_are_not_watched_go_through_the_kernel),
        T(a_descriptor_without_room_for_it_goes_through_the_kernel),
        T(an_epoll_that_watched_several_descriptors_is_left_to_the_kernel),
        T(a_child_has_a_number_and_no_io_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
