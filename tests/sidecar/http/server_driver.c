#include "tests/sidecar/http/server_driver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

/* ------------------------------------------------------------------ the handler */

static enum api_answer begin(void *ctx, const struct api_request *r, struct arena *a, uint64_t *body_limit,
                             struct api_response *out, bool *close)
{
    (void)ctx;
    *body_limit = BODY;
    *close = false;
    if (!span_equal(r->path, span_str("/refused")))
        return API_CONTINUE;
    api_problem(REASON_not_found, NULL, 0, a, out);
    return API_RESPONSE;
}

static void asked(void *ctx, struct exchange *x, const struct api_request *r, struct arena *a)
{
    struct driver *d = ctx;
    (void)a;
    if (span_equal(r->path, span_str("/soon")))
        http_hold(x);
    d->asked[d->count++] = x;
}

static void finish(void *ctx, const struct api_request *r, struct arena *a, struct api_response *out)
{
    (void)ctx, (void)r, (void)a;
    out->headers[out->header_count++] = (struct api_header){ span_str("Finished"), span_str("yes") };
}

static void refused(void *ctx, int status)
{
    struct driver *d = ctx;
    (void)status;
    d->refused++;
}

void answer(void *ctx, struct exchange *x, enum reason why)
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

/* ------------------------------------------------------------------ the event loop, and clients */

void driver_open_with(struct driver *d, uint32_t max_connections, uint64_t descriptors)
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

void driver_open(struct driver *d, uint32_t max_connections)
{
    driver_open_with(d, max_connections, UINT64_MAX);
}

bool has_to_run(const struct driver *d)
{
    return http_due(d->http).ns <= d->now.mono.ns;
}

void step(struct driver *d)
{
    struct pollfd f = { .fd = d->fd, .events = POLLIN };
    if (!has_to_run(d)) {
        assert_int_equal(poll(&f, 1, PATIENCE_MS), 1);
        http_readable(d->http, d->fd);
    }
    http_run(d->http, d->now);
}

void rest(struct driver *d)
{
    while (has_to_run(d))
        http_run(d->http, d->now);
}

int dial(const struct driver *d)
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

void say(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

void ask(int fd, const char *path)
{
    char text[100];
    int size = snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", path);
    say(fd, text, (size_t)size);
}

void assert_says(int fd, const char *status)
{
    char text[1000] = "", line[32];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, line, (size_t)size);
    assert_non_null(strstr(text, "\r\nFinished: yes\r\n"));
}

void assert_ends(int fd)
{
    char more;
    assert_int_equal(recv(fd, &more, 1, 0), 0);
    close(fd);
}

void assert_status(int fd, const char *status)
{
    assert_says(fd, status);
    close(fd);
}

void assert_answered(int fd)
{
    assert_status(fd, "200");
}

void until_asked(struct driver *d, size_t count)
{
    while (d->count < count)
        step(d);
}

int connected(struct driver *d)
{
    uint32_t before = http_connections(d->http);
    int fd = dial(d);
    while (http_connections(d->http) == before)
        step(d);
    rest(d);
    return fd;
}
