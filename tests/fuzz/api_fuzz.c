/* Fuzzes all of sidecar/api. The first lines of the input are the method, the target and the headers; the rest is the
 * body.
 * - A request that parses as a publish must have an answer, and each of its events must render as JSON that scans again
 *   and as a push request whose headers are one line each.
 * - The URL of an accepted subscription must point to loopback. */
#include "base/utf8.h"
#include "sidecar/api/api.h"
#include "sidecar/api/event_http.h"
#include "sidecar/api/event_json.h"

#include <stdlib.h>
#include <strings.h>

#define HEADERS 16u

static struct span line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;
    const uint8_t *newline = start < end ? memchr(start, '\n', (size_t)(end - start)) : NULL;
    *at = newline ? newline + 1 : end;
    return span_of(start, (size_t)((newline ? newline : end) - start));
}

static void split(struct span text, uint8_t by, struct span *left, struct span *right)
{
    const uint8_t *at = text.size ? memchr(text.data, by, text.size) : NULL;
    *left = at ? span_of(text.data, (size_t)(at - text.data)) : text;
    *right = at ? span_of(at + 1, text.size - left->size - 1) : span_str("");
}

/* Each header must be one line with a name, ended by a NUL: an event must not be able to inject a header or a line. */
static void check_push(struct span encoded)
{
    struct buf headers = { 0 }, body = { 0 };
    event_http_write(encoded, &headers, &body);
    const char *at = (const char *)headers.data, *end = at + headers.size;
    for (; at < end; at += strlen(at) + 1) {
        if ((strncmp(at, "ce-", 3) != 0 && strncmp(at, "Content-Type: ", 14) != 0) || strpbrk(at, "\r\n"))
            abort();
    }
    buf_free(&headers);
    buf_free(&body);
}

static void check_subscription(struct subscription_settings *s)
{
    struct subscription_target target;
    struct api_response r = { 0 };
    struct scan_value value;
    if (!subscription_complete(s, NULL, NULL))
        return;
    subscription_target(s->url, &target);
    if (strncasecmp(target.url, "http://", 7) != 0)
        abort();
    size_t host = 7 + (target.url[7] == '[');
    if (strncmp(&target.url[host], "127.", 4) != 0 && strncasecmp(&target.url[host], "localhost", 9) != 0 &&
        strspn(&target.url[host], "0:1") < 3)
        abort();
    const struct subscription_info info = {
        .name = "s", .settings = s, .detail = "", .retry_in_ms = -1, .last_error = ""
    };
    api_render_subscription(&info, true, &r);
    if (!scan_text(buf_span(&r.body), &value))
        abort();
    buf_free(&r.body);
}

static void render(const struct api_command *c, struct arena *a)
{
    struct api_response r = { 0 };
    if (c->kind == API_PUBLISH) {
        struct api_outcome *outcomes = calloc(c->u.publish.count, sizeof *outcomes);
        api_render_publish(c, outcomes, a, &r);
        free(outcomes);
        buf_free(&r.body);
        for (size_t i = 0; i < c->u.publish.count; i++) {
            struct buf json = { 0 };
            struct scan_value value;
            event_json_write(c->u.publish.events[i].encoded, &json);
            if (!scan_text(buf_span(&json), &value))
                abort();
            buf_free(&json);
            check_push(c->u.publish.events[i].encoded);
        }
    } else if (c->kind == API_SUBSCRIBE) {
        check_subscription(c->u.subscription.change);
    } else if (c->kind == API_STREAM) {
        if (c->u.stream.window == 0 || c->u.stream.window > 1000)
            abort();
    } else if (c->kind == API_ACKS) {
        enum settle_result *results = calloc(c->u.acks.count + 1, sizeof *results);
        api_render_acks(c, results, a, &r);
        free(results);
        buf_free(&r.body);
    }
}

/* Events in JSON are read and validated in one pass, which must not accept what validation alone would refuse. */
static void check_json(const struct api_request *r, const struct api_command *c)
{
    static const char *const types[] = { "application/cloudevents+json", "application/cloudevents-batch+json" };
    struct scan_value value;
    if (c->kind != API_PUBLISH || c->u.publish.dapr)
        return;
    for (size_t i = 0; i < r->header_count; i++) {
        const struct api_header *h = &r->headers[i];
        if (h->name.size != 12 || strncasecmp((const char *)h->name.data, "Content-Type", 12) != 0)
            continue;
        for (size_t k = 0; k < 2; k++) {
            size_t size = strlen(types[k]);
            if (h->value.size == size && strncasecmp((const char *)h->value.data, types[k], size) == 0 &&
                (!utf8_valid(r->body) || !scan_text(r->body, &value)))
                abort();
        }
        return; /* the first header of that name counts */
    }
}

/* A refusal must be JSON in UTF-8, whatever it quotes of the request. The answer to a browser's preflight must be
 * empty. No header of either may contain a line break. */
static void check(const struct api_response *r)
{
    struct scan_value value;
    if (r->status == 204 ? r->body.size > 0
                         : r->status && (!utf8_valid(buf_span(&r->body)) || !scan_text(buf_span(&r->body), &value)))
        abort();
    for (size_t i = 0; i < r->header_count; i++) {
        struct span text = r->headers[i].value;
        if (memchr(text.data, '\r', text.size) || memchr(text.data, '\n', text.size))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t random[16] = { 1 };
    static char *listed[] = { (char *)(uintptr_t) "http://shop" };
    static const struct setting_list origins = { listed, 1 };
    const struct api_config config = { .app_name = "fuzz",
                                       .app_named = true,
                                       .operate = true,
                                       .origins = &origins,
                                       .publish_wait_ms = 1000,
                                       .publish_wait_max_ms = 60000,
                                       .take_wait_max_ms = 60000,
                                       .take_max = 1000,
                                       .take_bytes = 4 << 20,
                                       .event_max = 1 << 20,
                                       .batch_max_bytes = 4 << 20,
                                       .batch_max_events = 1000 };
    const uint8_t *at = data, *end = data + size;
    struct api_header headers[HEADERS];
    struct api_request r = { .listener = API_OPERATIONS, .headers = headers };
    struct span first = line(&at, end), target;
    split(first, ' ', &r.method, &target);
    split(target, '?', &r.path, &r.query);
    for (struct span l = line(&at, end); l.size && r.header_count < HEADERS; l = line(&at, end))
        split(l, ':', &headers[r.header_count].name, &headers[r.header_count].value), r.header_count++;
    r.body = span_of(at, (size_t)(end - at));
    struct arena arena;
    struct api_response response = { 0 };
    struct api_command command;
    uint64_t limit;
    bool close;
    arena_init(&arena, 8 * size + 65536);
    if (api_begin(&config, &r, &arena, &limit, &response, &close) == API_CONTINUE &&
        api_parse(&config, &r, random, (struct now){ 0 }, &arena, &command, &response) == API_COMMAND) {
        check_json(&r, &command);
        render(&command, &arena);
    }
    api_finish(&config, &r, &arena, &response);
    check(&response);
    buf_free(&response.body);
    arena_free(&arena);
    return 0;
}
