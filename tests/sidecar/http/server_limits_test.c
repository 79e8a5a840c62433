/* Limits of the server: bodies, connections, descriptors, time. */
#include "tests/sidecar/http/server_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Runs the server until it has this many connections. */
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

static void bodies_share_a_limit_but_small_ones_always_fit(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10); /* there is room for one body */
    int first = upload(&d, "/later", BODY);
    until_asked(&d, 1);
    int second = upload(&d, "/later", BODY);
    until_refused(&d, 1);
    assert_status(second, "503");
    until_connected(&d, 1);
    int small = upload(&d, "/later", 16384);
    until_asked(&d, 2);
    int acks = upload(&d, "/acks", BODY); /* always accepted: they free the room of others */
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

/* A chunked body has no Content-Length, so its size is only known at the end. */
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

/* A connection without a request yet may take idle_ms and request_ms together. */
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

/* In its head, or in its body. */
static void a_request_that_takes_too_long_is_408(void **state)
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
        say(fd, "2345", 4); /* too late to complete it */
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

/* As long as its request line is incomplete, a connection may take idle_ms and request_ms together. */
static void a_request_line_that_never_ends_is_408(void **state)
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

/* The rest of its body would only have been discarded. */
static void a_refused_request_that_takes_too_long_gets_its_refusal(void **state)
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

static void an_aborted_body_frees_its_room(void **state)
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

/* The end arrives together with the last bytes, so no further event wakes the server. */
static void a_client_that_vanishes_half_way_through_its_request_holds_no_connection(void **state)
{
    static const char *const halves[] = { "POST /later HTT", "POST /later HTTP/1.1\r\nHost: localhost\r\nConte",
                                          "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf" };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof halves / sizeof *halves; i++) {
        struct driver d;
        driver_open(&d, 10);
        int fd = connected(&d);
        if (i % 2) { /* as the second request of its connection */
            ask(fd, "/later");
            until_asked(&d, 1);
            answer(&d, d.asked[0], REASON_draining);
            rest(&d);
            assert_says(fd, "200"); /* if it were unread, close would send a reset, which libmicrohttpd notices */
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

static void a_client_beyond_the_limit_is_accepted_when_a_connection_ends(void **state)
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

/* Of 8 descriptors, the operations and probe listeners get one each, and 6 are left. */
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

/* Even if there are more descriptors. */
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
        cmocka_unit_test(bodies_share_a_limit_but_small_ones_always_fit),
        cmocka_unit_test(a_body_in_chunks_above_its_limit_is_413),
        cmocka_unit_test(a_connection_that_says_nothing_is_kept_for_a_while),
        cmocka_unit_test(a_request_that_takes_too_long_is_408),
        cmocka_unit_test(a_request_line_that_never_ends_is_408),
        cmocka_unit_test(a_refused_request_that_takes_too_long_gets_its_refusal),
        cmocka_unit_test(a_connection_that_was_used_is_kept_as_long_as_a_new_one),
        cmocka_unit_test(an_aborted_body_frees_its_room),
        cmocka_unit_test(a_client_that_vanishes_half_way_through_its_request_holds_no_connection),
        cmocka_unit_test(a_client_beyond_the_limit_is_accepted_when_a_connection_ends),
        cmocka_unit_test(connections_are_no_more_than_there_are_descriptors),
        cmocka_unit_test(connections_are_no_more_than_were_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
