/* Listening addresses, and unix sockets that were left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/http/listen.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/sluice-listen-XXXXXX", path[64], address[80], bound[LISTEN_ADDRESS_MAX];
static struct error why;

static int begin(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/sluice-listen-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/app", directory);
    snprintf(address, sizeof address, "unix:%s", path);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

static int listens(const char *where)
{
    int fd = listen_open(where, bound, &why);
    if (fd < 0)
        fail_msg("%s", why.text);
    return fd;
}

static void assert_refused(const char *where, const char *says)
{
    assert_int_equal(listen_open(where, bound, &why), -1);
    if (!strstr(why.text, says))
        fail_msg("'%s' is not in \"%s\"", says, why.text);
}

static void a_socket_is_its_users_and_group_s(void **state)
{
    struct stat is;
    (void)state;
    int fd = listens(address);
    assert_string_equal(bound, address);
    assert_int_equal(stat(path, &is), 0);
    assert_true(S_ISSOCK(is.st_mode));
    assert_int_equal(is.st_mode & 0777, 0660);
    close(fd);
}

static void a_socket_that_somebody_answers_is_in_use_and_one_that_nobody_does_is_taken(void **state)
{
    (void)state;
    int fd = listens(address);
    assert_refused(address, "is in use");
    close(fd); /* as if the process had died: the socket file stays */
    assert_int_equal(access(path, F_OK), 0);
    close(listens(address));
}

static void a_file_is_not_taken_for_a_socket(void **state)
{
    (void)state;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_refused(address, "exists and is not a socket");
    assert_int_equal(access(path, F_OK), 0);
}

static void a_path_is_absolute_and_fits(void **state)
{
    char longest[160] = "unix:";
    struct sockaddr_un at;
    size_t most = sizeof at.sun_path - 1;
    (void)state;
    assert_refused("unix:app", "must be unix:/PATH with an absolute path of at most 107 bytes");
    int size = snprintf(longest, sizeof longest, "unix:%s/", directory);
    memset(longest + size, 'a', 5 + most + 1 - (size_t)size);
    assert_refused(longest, "at most 107 bytes");
    longest[5 + most] = '\0';
    close(listens(longest));
    assert_int_equal(unlink(longest + 5), 0);
}

static void the_port_that_was_chosen_is_told(void **state)
{
    char first[LISTEN_ADDRESS_MAX];
    (void)state;
    int fd = listens("127.0.0.1:0");
    assert_int_equal(strncmp(bound, "127.0.0.1:", 10), 0);
    assert_true(atoi(bound + 10) > 0);
    strcpy(first, bound);
    assert_refused(first, "is in use");
    close(fd);
}

/* Without SO_REUSEADDR, connections in TIME_WAIT would block the port for a minute. */
static void a_port_is_had_again_at_once(void **state)
{
    char first[LISTEN_ADDRESS_MAX], rest;
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    (void)state;
    int fd = listens("127.0.0.1:0"), client = socket(AF_INET, SOCK_STREAM, 0);
    strcpy(first, bound);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&at, size), 0);
    int peer = accept(fd, NULL, NULL);
    assert_true(peer >= 0);
    close(peer); /* the side that closes first is in TIME_WAIT */
    assert_int_equal(read(client, &rest, 1), 0);
    close(client);
    close(fd);
    close(listens(first));
}

static void a_v6_host_stands_in_brackets(void **state)
{
    (void)state;
    int fd = listen_open("[::1]:0", bound, &why);
    if (fd < 0) { /* a machine without IPv6: the error names the address */
        assert_non_null(strstr(why.text, "cannot listen on [::1]:0: Cannot assign requested address"));
        return;
    }
    assert_int_equal(strncmp(bound, "[::1]:", 6), 0);
    close(fd);
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const bad[] = { "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:80x", "" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(bad[i], "is not an address to listen on");
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(a_socket_is_its_users_and_group_s),
        CASE(a_socket_that_somebody_answers_is_in_use_and_one_that_nobody_does_is_taken),
        CASE(a_file_is_not_taken_for_a_socket),
        CASE(a_path_is_absolute_and_fits),
        CASE(the_port_that_was_chosen_is_told),
        CASE(a_port_is_had_again_at_once),
        CASE(a_v6_host_stands_in_brackets),
        CASE(what_is_no_address_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
