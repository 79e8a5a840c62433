/* Against the kernel: what it was asked to tell is read from /proc. */
#include "base/epoll_output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY 300 /* more than are held back */

struct place {
    int epoll_fd, fd, peer;
};

static int open_place(void **state)
{
    static struct place p;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    p = (struct place){ epoll_create1(EPOLL_CLOEXEC), fds[0], fds[1] };
    epoll_output_begin();
    *state = &p;
    return 0;
}

static int close_place(void **state)
{
    const struct place *p = *state;
    close(p->epoll_fd);
    close(p->fd);
    close(p->peer);
    return 0;
}

static void ask(const struct place *p, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = (void *)p };
    assert_int_equal(epoll_output_ctl(p->epoll_fd, op, p->fd, &event), 0);
}

/* What the kernel was asked to tell of the socket. */
static unsigned kernel_knows(const struct place *p)
{
    char path[64], line[256];
    int fd;
    unsigned events, found = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", p->epoll_fd);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "tfd: %d events: %x", &fd, &events) == 2 && fd == p->fd)
            found = events & (EPOLLIN | EPOLLOUT);
    }
    fclose(f);
    return found;
}

/* How many reports of room are made instead of sleeping. */
static int reports(const struct place *p)
{
    struct epoll_event events[8];
    int count = epoll_output_report(p->epoll_fd, events, 8);
    for (int i = 0; i < count; i++) {
        assert_int_equal(events[i].events, EPOLLOUT);
        assert_ptr_equal(events[i].data.ptr, p);
    }
    return count;
}

/* The kernel has reported room once. */
static void connect_place(const struct place *p)
{
    ask(p, EPOLL_CTL_ADD, 0);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(p), 0);
    ask(p, EPOLL_CTL_MOD, EPOLLIN);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), EPOLLIN);
}

static void a_new_socket_is_told_by_the_kernel_alone(void **state)
{
    const struct place *p = *state;
    ask(p, EPOLL_CTL_ADD, EPOLLIN);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), EPOLLIN | EPOLLOUT);
    ask(p, EPOLL_CTL_DEL, 0);
    assert_int_equal(kernel_knows(p), 0);
}

static void a_change_is_held_back_until_the_thread_would_sleep(void **state)
{
    const struct place *p = *state;
    ask(p, EPOLL_CTL_ADD, EPOLLIN);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(kernel_knows(p), EPOLLIN);
    ask(p, EPOLL_CTL_MOD, 0);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), 0);
}

static void a_socket_that_had_room_is_told_without_the_kernel(void **state)
{
    const struct place *p = *state;
    connect_place(p);
    for (int i = 0; i < 3; i++) {
        ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        assert_int_equal(reports(p), 1);
        ask(p, EPOLL_CTL_MOD, EPOLLIN);
        assert_int_equal(reports(p), 0);
        assert_int_equal(kernel_knows(p), EPOLLIN);
    }
}

static void who_still_waits_for_room_after_that_is_told_by_the_kernel(void **state)
{
    const struct place *p = *state;
    connect_place(p);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(p), 1);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(p), 0);
}

static void room_is_reported_again_after_the_kernel_was_asked(void **state)
{
    const struct place *p = *state;
    who_still_waits_for_room_after_that_is_told_by_the_kernel(state);
    ask(p, EPOLL_CTL_MOD, EPOLLIN);
    assert_int_equal(reports(p), 0);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(p), 1);
}

static void a_change_of_something_else_goes_to_the_kernel(void **state)
{
    const struct place *p = *state;
    connect_place(p);
    ask(p, EPOLL_CTL_MOD, EPOLLOUT);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), EPOLLOUT);
}

/* The number may belong to a socket that is connecting now, which takes room for success. */
static void a_socket_that_is_registered_anew_begins_anew(void **state)
{
    const struct place *p = *state;
    connect_place(p);
    ask(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    ask(p, EPOLL_CTL_DEL, 0);
    assert_int_equal(reports(p), 0);
    ask(p, EPOLL_CTL_ADD, 0);
    ask(p, EPOLL_CTL_MOD, EPOLLOUT);
    assert_int_equal(reports(p), 0);
    assert_int_equal(kernel_knows(p), EPOLLOUT);
}

static void an_error_is_returned(void **state)
{
    const struct place *p = *state;
    struct epoll_event event = { .events = EPOLLIN };
    assert_int_equal(epoll_output_ctl(p->epoll_fd, EPOLL_CTL_MOD, p->fd, &event), -1);
    assert_int_equal(epoll_output_ctl(p->epoll_fd, EPOLL_CTL_ADD, -1, &event), -1);
    assert_int_equal(epoll_output_ctl(p->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL), -1);
}

static void more_changes_than_are_held_back_take_effect_as_well(void **state)
{
    struct place all[MANY], *first = *state;
    for (int i = 0; i < MANY; i++) {
        all[i] = (struct place){ first->epoll_fd, dup(first->fd), -1 };
        assert_true(all[i].fd >= 0);
        ask(&all[i], EPOLL_CTL_ADD, EPOLLIN);
    }
    for (int i = 0; i < MANY; i++)
        ask(&all[i], EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    assert_int_equal(reports(first), 0);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(kernel_knows(&all[i]), EPOLLIN | EPOLLOUT);
        close(all[i].fd);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_place, close_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_socket_is_told_by_the_kernel_alone),
        TEST(a_change_is_held_back_until_the_thread_would_sleep),
        TEST(a_socket_that_had_room_is_told_without_the_kernel),
        TEST(who_still_waits_for_room_after_that_is_told_by_the_kernel),
        TEST(room_is_reported_again_after_the_kernel_was_asked),
        TEST(a_change_of_something_else_goes_to_the_kernel),
        TEST(a_socket_that_is_registered_anew_begins_anew),
        TEST(an_error_is_returned),
        TEST(more_changes_than_are_held_back_take_effect_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
