/* What the server bounds: bodies, connections, descriptors, the time of those who say nothing. */
#include "tests/sidecar/http/server_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections have ended, and no more than so many are left. */
static void until_connected(struct driver *d, uint32_t count)
{
    while (http_connections(d->http) > count)
        step(d);
}

static int upload(struct driver *d, const char *path, size_t size)
{
    static const char body[BODY];
    char head[100];
    int fd = connected(d);
    int length =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", path, size);
    say(fd, head, (size_t)length);
    say(fd, body, size);
    return fd;
}

static void until_refused(struct driver *d, unsigned count)
{
    while (d->refused < count)
        step(d);
    rest(d);
}

static void bodies_have_so_much_room_together_and_a_small_one_always(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10); /* its room is that of one body */
    int first = upload(&d, "/later", BODY);
    until_asked(&d, 1);
    int second = upload(&d, "/later", BODY);
    until_refused(&d, 1);
    assert_status(second, "503");
    until_connected(&d, 1);
    int small = upload(&d, "/later", 16384);
    until_asked(&d, 2);
    int acks = upload(&d, "/acks", BODY); /* that let the others end */
    until_asked(&d, 3);
    for (size_t i = 0; i < 3; i++)
        answer(&d, d.asked[i], REASON_draining);
    rest(&d);
    assert_answered(first);
    assert_answered(small);
    assert_answered(acks);
    until_connected(&d, 0);
    int next = upload(&d, "/later", BODY);
    until_asked(&d, 4);
    http_close(d.http);
    assert_answered(next);
}

/* Which no length announced. */
static void a_body_in_chunks_above_its_limit_is_413(void **state)
{
    static const char head[] = "POST /later HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char body[BODY];
    for (unsigned more = 0; more < 2; more++) {
        struct driver d;
        char size[16];
        (void)state;
        driver_open(&d, 10);
        int fd = connected(&d), length = snprintf(size, sizeof size, "%x\r\n", BODY);
        say(fd, head, sizeof head - 1);
        say(fd, size, (size_t)length);
        say(fd, body, BODY);
        say(fd, more ? "\r\n1\r\nx\r\n0\r\n\r\n" : "\r\n0\r\n\r\n", more ? 13 : 7);
        if (more)
            until_refused(&d, 1);
        else
            until_asked(&d, 1);
        assert_int_equal(d.count, !more);
        for (size_t i = 0; i < d.count; i++)
            answer(&d, d.asked[i], REASON_draining);
        rest(&d);
        assert_status(fd, more ? "413" : "200");
        http_close(d.http);
    }
}

/* It is not known whether a first request will come: it has the time of both. */
static void a_connection_that_says_nothing_is_kept_for_a_while(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    mono_t start = d.now.mono;
    int fd = connected(&d);
    d.now.mono = mono_add_ms(start, 89000);
    http_run(d.http, d.now);
    rest(&d);
    assert_int_equal(http_connections(d.http), 1);
    d.now.mono = mono_add_ms(start, 91000);
    http_run(d.http, d.now);
    until_connected(&d, 0);
    close(fd);
    http_close(d.http);
}

/* Its head, or a part of its body. */
static void a_request_that_takes_too_long_is_told_so(void **state)
{
    static const char *const parts[] = { "POST /later HTTP/1.1\r\nHost: localhost\r\nConte",
                                         "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf" };
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct driver d;
        char text[1000] = "", rest_of_it;
        driver_open(&d, 10);
        int fd = connected(&d);
        say(fd, parts[i], strlen(parts[i]));
        step(&d);
        rest(&d);
        say(fd, "1", 1);
        d.now.mono = mono_add_ms(d.now.mono, 30000);
        http_run(d.http, d.now);
        assert_int_equal(d.refused, 1);
        say(fd, "2345", 4); /* comes too late to make it whole */
        until_connected(&d, 0);
        assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
        assert_int_equal(recv(fd, &rest_of_it, 1, 0), 0);
        assert_memory_equal(text, "HTTP/1.1 408 Request Timeout\r\nDate: ", 36);
        assert_non_null(strstr(text, "\r\nContent-Type: application/problem+json\r\nFinished: yes\r\n"));
        assert_non_null(strstr(text, "\r\n\r\n{\"type\":\"urn:sluice:reason:timeout\""));
        assert_int_equal(strtol(strstr(text, "Content-Length: ") + 16, NULL, 10), strlen(strstr(text, "\r\n\r\n") + 4));
        close(fd);
        assert_int_equal(d.count + d.done, 0);
        http_close(d.http);
    }
}

/* It has the time of a connection that says nothing, and that of a request. */
static void so_is_one_whose_first_line_never_ends(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d);
    say(fd, "GET /lat", 8);
    step(&d);
    rest(&d);
    d.now.mono = mono_add_ms(d.now.mono, 89000);
    http_run(d.http, d.now);
    assert_int_equal(d.refused, 0);
    d.now.mono = mono_add_ms(d.now.mono, 1000);
    http_run(d.http, d.now);
    assert_int_equal(d.refused, 1);
    until_connected(&d, 0);
    assert_says(fd, "408");
    assert_ends(fd);
    http_close(d.http);
}

/* The rest of its body would only have been thrown away. */
static void one_that_is_refused_and_takes_too_long_hears_why_it_is_refused(void **state)
{
    static const char part[] = "POST /refused HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf";
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d);
    say(fd, part, sizeof part - 1);
    step(&d);
    rest(&d);
    d.now.mono = mono_add_ms(d.now.mono, 30000);
    http_run(d.http, d.now);
    assert_int_equal(d.refused, 1);
    until_connected(&d, 0);
    assert_says(fd, "404");
    assert_ends(fd);
    http_close(d.http);
}

static void a_connection_that_was_used_is_kept_as_long_as_a_new_one(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d);
    ask(fd, "/later");
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_says(fd, "200");
    d.now.mono = mono_add_ms(d.now.mono, 59000);
    http_run(d.http, d.now);
    rest(&d);
    assert_int_equal(http_connections(d.http), 1);
    ask(fd, "/later");
    until_asked(&d, 2);
    http_close(d.http);
    assert_answered(fd);
}

static void a_body_that_is_broken_off_leaves_its_room(void **state)
{
    struct driver d;
    char head[] = "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n";
    static const char body[BODY];
    (void)state;
    driver_open(&d, 10);
    int broken = connected(&d);
    say(broken, head, strlen(head));
    say(broken, body, BODY - 1);
    rest(&d);
    step(&d);
    rest(&d);
    assert_int_equal(setsockopt(broken, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger)),
                     0);
    close(broken);
    until_connected(&d, 0);
    int next = upload(&d, "/later", BODY);
    until_asked(&d, 1);
    http_close(d.http);
    assert_answered(next);
}

/* The end comes with the last bytes, so that there is nothing more to wake anybody. */
static void a_client_that_vanishes_half_way_through_its_request_holds_no_connection(void **state)
{
    static const char *const halves[] = { "POST /later HTT", "POST /later HTTP/1.1\r\nHost: localhost\r\nConte",
                                          "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf" };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof halves / sizeof *halves; i++) {
        struct driver d;
        driver_open(&d, 10);
        int fd = connected(&d);
        if (i % 2) { /* it is the connection's second */
            ask(fd, "/later");
            until_asked(&d, 1);
            answer(&d, d.asked[0], REASON_draining);
            rest(&d);
            assert_says(fd, "200"); /* unread it would make of the end a reset, which nobody misses */
        }
        say(fd, halves[i / 2], strlen(halves[i / 2]));
        close(fd);
        for (unsigned second = 0; second < 4; second++) {
            http_readable(d.http, d.fd);
            http_run(d.http, d.now);
            rest(&d);
            d.now.mono = mono_add_ms(d.now.mono, 1000);
        }
        assert_int_equal(http_connections(d.http), 0);
        http_close(d.http);
    }
}

static void who_came_when_there_were_too_many_is_let_in_when_one_ends(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 1);
    int first = connected(&d), second = dial(&d);
    ask(second, "/later");
    rest(&d);
    assert_int_equal(d.count, 0);
    close(first);
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(second);
    http_close(d.http);
}

/* Of eight the operations' and the probes' listeners have one each. */
static void connections_are_no_more_than_there_are_descriptors(void **state)
{
    struct driver d;
    int fds[7];
    (void)state;
    driver_open_with(&d, 10, 8);
    for (size_t i = 0; i < 6; i++)
        fds[i] = connected(&d);
    fds[6] = dial(&d);
    ask(fds[6], "/later");
    http_readable(d.http, d.fd);
    http_run(d.http, d.now);
    assert_int_equal(http_connections(d.http), 6);
    close(fds[0]);
    until_asked(&d, 1);
    for (size_t i = 1; i < 7; i++)
        close(fds[i]);
    http_close(d.http);
}

/* Where there is more than that for it. */
static void connections_are_no_more_than_were_asked_for(void **state)
{
    struct driver d;
    int fds[3];
    (void)state;
    driver_open_with(&d, 2, 5);
    fds[0] = connected(&d);
    fds[1] = connected(&d);
    fds[2] = dial(&d);
    ask(fds[2], "/later");
    http_readable(d.http, d.fd);
    http_run(d.http, d.now);
    rest(&d);
    assert_int_equal(http_connections(d.http), 2);
    for (size_t i = 0; i < 3; i++)
        close(fds[i]);
    http_close(d.http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_have_so_much_room_together_and_a_small_one_always),
        cmocka_unit_test(a_body_in_chunks_above_its_limit_is_413),
        cmocka_unit_test(a_connection_that_says_nothing_is_kept_for_a_while),
        cmocka_unit_test(a_request_that_takes_too_long_is_told_so),
        cmocka_unit_test(so_is_one_whose_first_line_never_ends),
        cmocka_unit_test(one_that_is_refused_and_takes_too_long_hears_why_it_is_refused),
        cmocka_unit_test(a_connection_that_was_used_is_kept_as_long_as_a_new_one),
        cmocka_unit_test(a_body_that_is_broken_off_leaves_its_room),
        cmocka_unit_test(a_client_that_vanishes_half_way_through_its_request_holds_no_connection),
        cmocka_unit_test(who_came_when_there_were_too_many_is_let_in_when_one_ends),
        cmocka_unit_test(connections_are_no_more_than_there_are_descriptors),
        cmocka_unit_test(connections_are_no_more_than_were_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
