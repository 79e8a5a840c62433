/* The server by itself, under a clock of the test's: when it has to be run, and what becomes of those who wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/http/server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define HELD_MS     2 /* as exchange.c has it */
#define BODY        60000u

struct driver {
    struct http_server *http;
    struct now now;
    int fd;
    struct exchange *asked[8]; /* those that wait */
    size_t count, done;
    unsigned refused; /* before they were whole */
};

/* ------------------------------------------------------------------ the handler: nothing is answered by itself */

static enum api_answer begin(void *ctx, const struct api_request *r, struct arena *a, uint64_t *body_limit,
                             struct api_response *out, bool *close)
{
    (void)ctx, (void)r, (void)a, (void)out;
    *body_limit = BODY;
    *close = false;
    return API_CONTINUE;
}

static void asked(void *ctx, struct exchange *x, const struct api_request *r, struct arena *a)
{
    struct driver *d = ctx;
    (void)a;
    if (span_equal(r->path, span_str("/soon")))
        http_soon(x);
    d->asked[d->count++] = x;
}

static void finish(void *ctx, const struct api_request *r, struct arena *a, struct api_response *out)
{
    (void)ctx, (void)r, (void)a, (void)out;
}

static void refused(void *ctx, int status)
{
    struct driver *d = ctx;
    (void)status;
    d->refused++;
}

static void answer(void *ctx, struct exchange *x, enum reason why)
{
    struct api_response r;
    (void)ctx, (void)why;
    api_text(200, "text/plain", span_str("done"), &r);
    http_answer(x, &r);
}

static void done(void *ctx, struct exchange *x, bool sent)
{
    struct driver *d = ctx;
    (void)x, (void)sent;
    d->done++;
}

static bool publishes(void *ctx, const struct api_request *r)
{
    (void)ctx;
    return !span_equal(r->path, span_str("/acks"));
}

static const struct http_handler handler = { begin, asked, finish, refused, answer, done, NULL, publishes };

/* ------------------------------------------------------------------ the loop, and clients */

static void driver_open_with(struct driver *d, uint32_t max_connections, uint64_t descriptors)
{
    struct http_config config = {
        .max_connections = max_connections, .descriptors = descriptors, .request_ms = 30000, .idle_ms = 60000
    };
    struct error e;
    *d = (struct driver){ .now = { .mono = { 1000000000 } } };
    d->http = http_open(&config, &handler, d);
    assert_true(http_listen(d->http, API_APPLICATION, "127.0.0.1:0", &e));
    assert_int_equal(http_fds(d->http, &d->fd), 1);
    http_run(d->http, d->now);
}

static void driver_open(struct driver *d, uint32_t max_connections)
{
    driver_open_with(d, max_connections, UINT64_MAX);
}

static bool has_to_run(const struct driver *d)
{
    return http_due(d->http).ns <= d->now.mono.ns;
}

/* Runs it as the sidecar does: at once if it asks for that, else when its descriptor is readable. */
static void step(struct driver *d)
{
    struct pollfd f = { .fd = d->fd, .events = POLLIN };
    if (!has_to_run(d)) {
        assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
        http_readable(d->http, d->fd);
    }
    http_run(d->http, d->now);
}

static void rest(struct driver *d)
{
    while (has_to_run(d))
        http_run(d->http, d->now);
}

static int dial(const struct driver *d)
{
    const char *address = http_address(d->http, API_APPLICATION);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

static void ask(int fd, const char *path)
{
    char text[100];
    int size = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", path);
    say(fd, text, (size_t)size);
}

static void assert_status(int fd, const char *status)
{
    char text[1000] = "", line[32];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, line, (size_t)size);
    close(fd);
}

static void assert_answered(int fd)
{
    assert_status(fd, "200");
}

static void until_asked(struct driver *d, size_t count)
{
    while (d->count < count)
        step(d);
}

static int connected(struct driver *d)
{
    uint32_t before = http_connections(d->http);
    int fd = dial(d);
    while (http_connections(d->http) == before)
        step(d);
    rest(d);
    return fd;
}

/* ------------------------------------------------------------------ tests */

static void a_connection_is_held_for_a_moment_and_suspended_then(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = dial(&d);
    ask(fd, "/soon");
    until_asked(&d, 1);
    rest(&d);
    mono_t end = mono_add_ms(d.now.mono, HELD_MS);
    assert_int_equal(http_due(d.http).ns, end.ns); /* in no hurry, though libmicrohttpd is */
    d.now.mono = end;
    http_run(d.http, d.now);
    assert_true(http_due(d.http).ns > mono_add_ms(end, 100).ns);
    answer(&d, d.asked[0], REASON_draining);
    assert_true(has_to_run(&d));
    rest(&d);
    assert_answered(fd);
    assert_int_equal(d.done, 1);
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

/* libmicrohttpd is in a hurry for both alike; the time stands still here, so that nothing goes on by waiting. */
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

static void so_does_one_in_small_chunks(void **state)
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
    assert_true(http_due(d.http).ns == MONO_NEVER.ns && http_is_silent(d.http));
    http_close(d.http);
}

/* The end comes with the last bytes, so that there is nothing more to wake anybody. */
static void a_client_that_vanishes_half_way_through_its_request_holds_no_connection(void **state)
{
    static const char *const halves[] = { "POST /later HTT", "POST /later HTTP/1.1\r\nHost: localhost\r\nConte",
                                          "POST /later HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf" };
    (void)state;
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
        struct driver d;
        driver_open(&d, 10);
        int fd = connected(&d);
        say(fd, halves[i], strlen(halves[i]));
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

static void one_that_sends_no_more_is_answered_all_the_same(void **state)
{
    struct driver d;
    (void)state;
    driver_open(&d, 10);
    int fd = connected(&d);
    ask(fd, "/later"); /* nobody has read that yet when it is looked for who has gone */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    d.now.mono = mono_add_ms(d.now.mono, 1000);
    until_asked(&d, 1);
    answer(&d, d.asked[0], REASON_draining);
    rest(&d);
    assert_answered(fd);
    http_close(d.http);
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

/* The run that brings the last answers out brings requests in. */
static void closing_answers_those_too_who_ask_meanwhile(void **state)
{
    static const char *const late[] = { "/later", "/soon" };
    (void)state;
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        struct driver d;
        driver_open(&d, 10);
        int first = connected(&d), second = connected(&d);
        ask(first, "/later");
        until_asked(&d, 1);
        ask(second, late[i]); /* nobody has read that yet */
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
        cmocka_unit_test(so_does_one_in_small_chunks),
        cmocka_unit_test(bodies_have_so_much_room_together_and_a_small_one_always),
        cmocka_unit_test(a_body_in_chunks_above_its_limit_is_413),
        cmocka_unit_test(a_connection_that_says_nothing_is_kept_for_a_while),
        cmocka_unit_test(a_socket_in_the_file_system_goes_with_its_server),
        cmocka_unit_test(a_body_that_is_broken_off_leaves_its_room),
        cmocka_unit_test(a_request_behind_an_answered_one_goes_on_beside_one_that_is_held),
        cmocka_unit_test(a_client_that_vanishes_while_it_is_held_leaves_nothing_to_wait_for),
        cmocka_unit_test(a_client_that_vanishes_half_way_through_its_request_holds_no_connection),
        cmocka_unit_test(one_that_sends_no_more_is_answered_all_the_same),
        cmocka_unit_test(who_came_when_there_were_too_many_is_let_in_when_one_ends),
        cmocka_unit_test(connections_are_no_more_than_there_are_descriptors),
        cmocka_unit_test(closing_answers_those_too_who_ask_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
