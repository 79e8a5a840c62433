/* The pieces of a request's body: kept, or read and discarded so that the client gets to see the answer. */
#include "sidecar/http/exchange.h"

#include <stdlib.h>

/* After this much of a body, in one piece or in many small chunks, the socket may have more: the listener is run
 * again. */
#define LARGE_BODY 4096u
/* Up to this much is reserved when the body begins, instead of growing the buffer: memory that is not written is not
 * used. */
#define BODY_AT_ONCE (256u << 10)
/* The first bytes of a body are always accepted: only large bodies are refused when there are too many. */
#define BODY_ALWAYS (16u << 10)
#define BUSY_MS     1000

/* The Content-Length; 0: none. */
static size_t declared_length(const struct exchange *x)
{
    const char *text = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Content-Length");
    return text ? strtoul(text, NULL, 10) : 0;
}

static void make_room(struct exchange *x)
{
    size_t length = declared_length(x), most = length < BODY_AT_ONCE ? length : BODY_AT_ONCE;
    buf_reserve(&x->body, most < x->body_limit ? most : x->body_limit);
}

void exchange_drop_body(struct exchange *x)
{
    x->listener->server->body_bytes -= x->body.size;
    buf_free(&x->body);
}

static void refuse_body(struct exchange *x, enum reason why, const char *sentence, uint32_t retry_ms)
{
    api_problem(why, sentence, retry_ms, &x->arena, &x->response);
    x->stage = STAGE_REFUSED;
    exchange_drop_body(x);
}

static bool has_room(const struct exchange *x, size_t size)
{
    const struct http_server *s = x->listener->server;
    uint64_t most = s->config.bodies > x->body_limit ? s->config.bodies : x->body_limit;
    if (x->body.size + size <= BODY_ALWAYS || s->body_bytes + size <= most)
        return true;
    return !s->handler.publishes(s->ctx, &x->request);
}

static void keep(struct exchange *x, const char *bytes, size_t size)
{
    if (x->body.size + size > x->body_limit) {
        refuse_body(x, REASON_too_large, "the body is larger than this address takes", 0);
    } else if (!has_room(x, size)) {
        refuse_body(x, REASON_busy, "too many large bodies are on their way: send this one again later, or smaller",
                    BUSY_MS);
    } else {
        if (size >= LARGE_BODY && !x->body.data)
            make_room(x);
        buf_add(&x->body, bytes, size);
        x->listener->server->body_bytes += size;
    }
}

void exchange_add_body(struct exchange *x, const char *bytes, size_t size)
{
    if (x->stage == STAGE_BODY)
        keep(x, bytes, size);
    listener_needs_runs(x->listener, size >= LARGE_BODY || x->body.size >= LARGE_BODY);
}
