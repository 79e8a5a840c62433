/* Connections that libmicrohttpd would run for ever, because it cannot read on; and those that only look like it. */
#include "tests/sidecar/http/server_driver.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Beyond libmicrohttpd's buffer; one that cannot be read keeps a listener running for ever, so it has no `rest`. */
#define ENDLESS 50000u

static void pass_seconds(struct driver *d, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        for (unsigned run = 0; run < 20; run++) {
            http_readable(d->http, d->fd);
            http_run(d->http, d->now);
        }
        d->now.mono = mono_add_ms(d->now.mono, 1000);
    }
}

static int begin_chunks(struct driver *d, const char *path, const char *size, char filling)
{
    static char line[ENDLESS];
    char head[100];
    int fd = connected(d), length = snprintf(head, sizeof head,
                                             "POST %s HTTP/1.1\r\nHost: localhost\r\n"
                                             "Transfer-Encoding: chunked\r\n\r\n%s",
                                             path, size);
    memset(line, filling, sizeof line);
    say(fd, head, (size_t)length);
    say(fd, line, sizeof line);
    return fd;
}

static void a_chunk_size_that_never_ends_is_400(void **state)
{
    static const struct {
        const char *path, *size;
        char filling;
        const char *status;
    } cases[] = { { "/later", "1;", 'e', "400" },
                  { "/later", "", '0', "400" },
                  { "/later", "5\r\nhello\r\n1;", 'e', "400" },
                  { "/refused", "1;", 'e', "404" } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct driver d;
        driver_open(&d, 10);
        int fd = begin_chunks(&d, cases[i].path, cases[i].size, cases[i].filling);
        pass_seconds(&d, 4);
        assert_int_equal(d.refused, 1);
        assert_int_equal(http_connections(d.http), 0);
        assert_says(fd, cases[i].status);
        close(fd);
        http_close(d.http);
    }
}

/* Its unread bytes are not its fault. */
static void a_request_that_waits_or_is_not_run_is_not_ended(void **state)
{
    struct driver d;
    char more[100];
    (void)state;
    driver_open(&d, 10);
    int asked = connected(&d), starved = connected(&d);
    ask(asked, "/later");
    until_asked(&d, 1);
    rest(&d);
    for (unsigned i = 0; i < 500; i++) /* pipelined: more than the buffer takes */
        ask(asked, "/refused");
    ask(starved, "/later");
    for (unsigned i = 0; i < 4; i++) { /* nobody says that the descriptor is readable: only the sweeps run */
        d.now.mono = mono_add_ms(d.now.mono, 1000);
        http_run(d.http, d.now);
    }
    pass_seconds(&d, 4);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.refused, 0);
    for (unsigned i = 0; i < 2; i++)
        answer(&d, d.asked[i], REASON_draining);
    rest(&d);
    assert_answered(starved);
    assert_true(recv(asked, more, sizeof more, 0) == sizeof more);
    assert_memory_equal(more, "HTTP/1.1 200 ", 13);
    close(asked);
    http_close(d.http);
}

static void a_slow_upload_is_not_ended(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = begin_chunks(&d, "/later", "C350\r\n", 'b'); /* all of its 50,000 bytes */
    pass_seconds(&d, 2);
    for (unsigned i = 0; i < 8; i++) {
        say(fd, i ? "e" : "\r\n1;", i ? 1 : 4);
        pass_seconds(&d, 3);
    }
    say(fd, "\r\nx\r\n0\r\n\r\n", 10);
    until_asked(&d, 1);
    assert_int_equal(d.refused, 0);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(fd);
    http_close(d.http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_size_that_never_ends_is_400),
        cmocka_unit_test(a_request_that_waits_or_is_not_run_is_not_ended),
        cmocka_unit_test(a_slow_upload_is_not_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
