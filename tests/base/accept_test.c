/* Incoming connections leave some descriptors free. */
#include "base/accept.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL   160u /* of which 10 are left */
#define PEERS 200u

static struct rlimit before;
static int listener, peers[PEERS], taken[PEERS];
static unsigned count;

static int begin(void **state)
{
    (void)state;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)(void *)&at, size) != 0 || listen(listener, PEERS) != 0 ||
        getsockname(listener, (struct sockaddr *)(void *)&at, &size) != 0 || getrlimit(RLIMIT_NOFILE, &before) != 0)
        return -1;
    for (unsigned i = 0; i < PEERS; i++) { /* out of the way of the numbers that are counted */
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        peers[i] = dup2(fd, (int)(ALL + i));
        if (close(fd) != 0 || connect(peers[i], (struct sockaddr *)(void *)&at, size) != 0)
            return -1;
    }
    return setrlimit(RLIMIT_NOFILE, &(struct rlimit){ ALL, before.rlim_max });
}

static int end(void **state)
{
    (void)state;
    setrlimit(RLIMIT_NOFILE, &before);
    for (unsigned i = 0; i < PEERS; i++)
        close(peers[i]);
    while (count)
        close(taken[--count]);
    return close(listener);
}

static void a_connection_that_takes_one_of_the_last_descriptors_is_closed(void **state)
{
    (void)state;
    char byte;
    accept_reserve_fds();
    while ((taken[count] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        count++;
    assert_int_equal(errno, ECONNABORTED);
    int last = taken[--count];
    assert_int_equal(last, ALL - accept_reserved_fds(ALL) - 1);
    assert_int_equal(read(peers[count + 1], &byte, 1), 0); /* they come in their order */
    assert_int_equal(recv(peers[count], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(last);
    taken[count] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(taken[count++], last); /* the next one is let in */
}

static void without_free_descriptors_accept_fails_as_libzmq_expects(void **state)
{
    (void)state;
    while ((taken[count] = dup(listener)) >= 0)
        count++;
    assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
    assert_int_equal(errno, ENFILE);
}

static void a_sixteenth_of_the_descriptors_is_kept_free_and_64_at_most(void **state)
{
    (void)state;
    assert_int_equal(accept_reserved_fds(ALL), 10);
    assert_int_equal(accept_reserved_fds(1024), 64);
    assert_int_equal(accept_reserved_fds(1u << 20), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_that_takes_one_of_the_last_descriptors_is_closed, begin, end),
        cmocka_unit_test_setup_teardown(without_free_descriptors_accept_fails_as_libzmq_expects, begin, end),
        cmocka_unit_test(a_sixteenth_of_the_descriptors_is_kept_free_and_64_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
