/* The whole of sidecar/api: lines of input become method, target, headers; the rest the body. What parses as a publish
 * must render, and so must its events as JSON that scans again. */
#include "base/units.h"
#include "sidecar/api/api.h"
#include "sidecar/api/event_json.h"

#include <stdlib.h>

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
        }
    } else if (c->kind == API_ACKS) {
        enum settle_result *results = calloc(c->u.acks.count + 1, sizeof *results);
        api_render_acks(c, results, a, &r);
        free(results);
        buf_free(&r.body);
    }
}

/* A refusal is JSON in UTF-8, whatever of the request it quotes; no header of it has a line break. */
static void check(const struct api_response *r)
{
    struct scan_value value;
    if (r->status && (!utf8_valid(buf_span(&r->body)) || !scan_text(buf_span(&r->body), &value)))
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
    const struct api_config config = { .app_name = "fuzz",
                                       .operate = true,
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
        api_parse(&config, &r, random, (struct now){ 0 }, &arena, &command, &response) == API_COMMAND)
        render(&command, &arena);
    check(&response);
    buf_free(&response.body);
    arena_free(&arena);
    return 0;
}
