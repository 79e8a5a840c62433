/* Helpers for tests of the API: build a request in a few calls, and check the command or response. */
#ifndef SLUICE_TESTS_API_DRIVER_H
#define SLUICE_TESTS_API_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sidecar/api/api.h"

struct driver {
    struct api_config config;
    struct arena arena;
    struct api_request request;
    struct api_header headers[16];
    struct api_command command;
    struct api_response response;
    uint64_t body_limit;
    bool close;
};

static inline void driver_begin(struct driver *d)
{
    *d = (struct driver){
        .config = { .app_name = "shop",
                    .publish_wait_ms = 1000,
                    .publish_wait_max_ms = 60000,
                    .take_wait_max_ms = 60000,
                    .take_max = 1000,
                    .take_bytes = 4 << 20,
                    .event_max = 1 << 20,
                    .batch_max_bytes = 4 << 20,
                    .batch_max_events = 3 },
    };
    arena_init(&d->arena, 1 << 20);
}

static inline void driver_end(struct driver *d)
{
    buf_free(&d->response.body);
    arena_free(&d->arena);
}

static inline void driver_header(struct driver *d, const char *name, const char *value)
{
    d->headers[d->request.header_count++] = (struct api_header){ span_str(name), span_str(value) };
}

/* target: "/path?query". Add headers before. */
static inline enum api_answer driver_send(struct driver *d, const char *method, const char *target, const char *body)
{
    static const uint8_t random[16] = { 1, 2, 3 };
    const char *question = strchr(target, '?');
    struct now now = { .wall = { 1700000000123 } };
    d->request.headers = d->headers;
    d->request.method = span_str(method);
    d->request.path = span_of(target, question ? (size_t)(question - target) : strlen(target));
    d->request.query = span_str(question ? question + 1 : "");
    d->request.body = span_str(body);
    enum api_answer answer = api_begin(&d->config, &d->request, &d->arena, &d->body_limit, &d->response, &d->close);
    if (answer == API_CONTINUE)
        answer = api_parse(&d->config, &d->request, random, now, &d->arena, &d->command, &d->response);
    return answer;
}

/* The response has this status, and its body contains the text. */
static inline void assert_says(const struct driver *d, int status, const char *text)
{
    char body[2048];
    assert_int_equal(d->response.status, status);
    assert_true(d->response.body.size < sizeof body);
    memcpy(body, d->response.body.data, d->response.body.size);
    body[d->response.body.size] = '\0';
    if (!strstr(body, text))
        fail_msg("'%s' is not in %s", text, body);
}

/* A request with at most one header is answered with this status and text. */
static inline void driver_refuses(const char *method, const char *target, const char *name, const char *value,
                                  const char *body, int status, const char *text)
{
    struct driver d;
    driver_begin(&d);
    d.request.listener = API_OPERATIONS;
    if (name)
        driver_header(&d, name, value);
    assert_int_equal(driver_send(&d, method, target, body), API_RESPONSE);
    assert_says(&d, status, text);
    driver_end(&d);
}

/* The response's header of that name; NULL: none. */
static inline const char *driver_response_header(const struct driver *d, const char *name)
{
    for (size_t i = 0; i < d->response.header_count; i++) {
        if (span_equal(d->response.headers[i].name, span_str(name)))
            return (const char *)d->response.headers[i].value.data;
    }
    return NULL;
}

static inline void assert_body(const struct driver *d, const char *text)
{
    char body[4096];
    assert_true(d->response.body.size < sizeof body);
    memcpy(body, d->response.body.data, d->response.body.size);
    body[d->response.body.size] = '\0';
    assert_string_equal(body, text);
}

#endif
