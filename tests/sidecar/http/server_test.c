/* When the server must be run, and how waiting requests end. */
#include "tests/sidecar/http/server_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELD_MS 2 /* as exchange.c has it */

static void a_connection_is_held_for_a_moment_and_suspended_then(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int before = connected(&d); /* a complete exchange before, so that nothing is left to run for */
    ask(before, "/later");
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(before);
    int fd = dial(&d);
    ask(fd, "/soon");
    until_asked(&d, 2);
    rest(&d);
    mono_t end = mono_add_ms(d.now.mono, HELD_MS);
    assert_int_equal(http_due(d.http).ns, end.ns); /* not due at once, although libmicrohttpd asks for it */
    d.now.mono = end;
    http_run(d.http, d.now);
    assert_true(http_due(d.http).ns > mono_add_ms(end, 100).ns);
    answer(&d, d.asked[1], REASON_draining);
    assert_true(has_to_run(&d));
    rest(&d);
    assert_answered(fd);
    assert_int_equal(d.done, 2);
    http_close(d.http);
}

static void a_held_one_is_answered_without_having_been_suspended(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = dial(&d);
    ask(fd, "/soon");
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(fd);
    http_close(d.http);
}

/* libmicrohttpd asks to be run again at once for the held connection and for the upload alike. The clock stands still,
 * so the upload cannot proceed by a timeout. */
static void assert_uploads_beside_a_held_one(const char *head, const char *body, size_t size)
{
    struct driver d;
    driver_open(&d, 10);
    int fd = connected(&d), upload = connected(&d);
    ask(fd, "/soon");
    until_asked(&d, 1);
    say(upload, head, strlen(head));
    say(upload, body, size);
    until_asked(&d, 2);
    http_close(d.http);
    assert_answered(fd);
    assert_answered(upload);
}

static void an_upload_goes_on_beside_one_that_is_held(void **state)
{
    static const char body[BODY];
    (void)state;
    assert_uploads_beside_a_held_one("POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n", body,
                                     sizeof body);
}

static void an_upload_in_small_chunks_goes_on_beside_one_that_is_held(void **state)
{
    char body[BODY] = "";
    size_t size = 0;
    (void)state;
    while (size < sizeof body - 100)
        size += (size_t)snprintf(body + size, sizeof body - size, "32\r\n%050d\r\n", 0);
    size += (size_t)snprintf(body + size, sizeof body - size, "0\r\n\r\n");
    assert_uploads_beside_a_held_one("POST /later HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
                                     body, size);
}

static void a_socket_in_the_file_system_goes_with_its_server(void **state)
{
    struct driver d;
    struct error e;
    char directory[] = "/tmp/sluice-server-XXXXXX", address[64];
    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(address, sizeof address, "unix:%s/ops", directory);
    driver_open(&d, 10);
    assert_true(http_listen(d.http, API_OPERATIONS, address, &e));
    assert_int_equal(access(address + 5, F_OK), 0);
    http_close(d.http);
    assert_int_equal(rmdir(directory), 0);
}

static void a_request_behind_an_answered_one_goes_on_beside_one_that_is_held(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d), pipelined = connected(&d);
    ask(pipelined, "/later");
    ask(pipelined, "/later");
    until_asked(&d, 1);
    ask(fd, "/soon");
    until_asked(&d, 2);
    answer(&d, d.asked[0], REASON_draining);
    until_asked(&d, 3);
    http_close(d.http);
    assert_answered(fd);
    assert_answered(pipelined);
}

static void a_client_that_vanishes_while_it_is_held_leaves_nothing_to_wait_for(void **state)
{
    struct driver d;
    struct linger reset = { .l_onoff = 1 };
    (void)state;
    driver_open(&d, 10);
    int fd = dial(&d);
    ask(fd, "/soon");
    until_asked(&d, 1);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    while (!d.done)
        step(&d);
    rest(&d);
    assert_int_equal(http_connections(d.http), 0);
    assert_true(http_due(d.http).ns == MONO_NEVER.ns && http_is_idle(d.http));
    http_close(d.http);
}

static void a_client_that_shut_down_its_sending_side_is_answered(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d);
    ask(fd, "/later"); /* still unread when the next sweep looks for clients that are gone */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    d.now.mono = mono_add_ms(d.now.mono, 1000);
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(fd);
    http_close(d.http);
}

/* The end of a suspended connection is noticed by the sweep, once a second, and by nothing else. */
static void a_client_that_leaves_while_waiting_is_noticed(void **state)
{
    (void)state;
    for (unsigned reads = 0; reads < 2; reads++) {
        struct driver d;
        driver_open(&d, 10);
        int fd = connected(&d), other = connected(&d);
        ask(fd, "/later");
        ask(other, "/later");
        until_asked(&d, 2);
        rest(&d);
        if (reads)
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        else
            close(fd);
        d.now.mono = mono_add_ms(d.now.mono, 1000);
        while (d.done < 1)
            step(&d);
        rest(&d);
        assert_int_equal(d.done, 1);
        assert_int_equal(http_connections(d.http), 1);
        if (reads) {
            assert_says(fd, "200");
            assert_ends(fd);
        }
        http_close(d.http);
        assert_answered(other);
    }
}

/* The run that sends the last answers also reads new requests. */
static void requests_that_arrive_while_closing_are_answered(void **state)
{
    static const char *const late[] = { "/later", "/soon" };
    (void)state;
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        struct driver d;
        driver_open(&d, 10);
        int first = connected(&d), second = connected(&d);
        ask(first, "/later");
        until_asked(&d, 1);
        ask(second, late[i]); /* still unread */
        http_close(d.http);
        assert_int_equal(d.count, 2);
        assert_int_equal(d.done, 2);
        assert_answered(first);
        assert_answered(second);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_held_for_a_moment_and_suspended_then),
        cmocka_unit_test(a_held_one_is_answered_without_having_been_suspended),
        cmocka_unit_test(an_upload_goes_on_beside_one_that_is_held),
        cmocka_unit_test(an_upload_in_small_chunks_goes_on_beside_one_that_is_held),
        cmocka_unit_test(a_socket_in_the_file_system_goes_with_its_server),
        cmocka_unit_test(a_request_behind_an_answered_one_goes_on_beside_one_that_is_held),
        cmocka_unit_test(a_client_that_vanishes_while_it_is_held_leaves_nothing_to_wait_for),
        cmocka_unit_test(a_client_that_shut_down_its_sending_side_is_answered),
        cmocka_unit_test(a_client_that_leaves_while_waiting_is_noticed),
        cmocka_unit_test(requests_that_arrive_while_closing_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
