/* The life of a request in libmicrohttpd: request line (exchange_begin), headers, body in pieces (exchange_access;
 * body.c); suspended while it waits for its answer, resumed with it, and completed. Requests that end otherwise are in
 * abort.c.
 *
 * If a request is neither answered nor suspended, libmicrohttpd asks for the answer again in each of its runs. `hold`
 * uses that for a short wait, and server.c keeps it from becoming a busy loop. */
#include "sidecar/http/exchange.h"

#include "base/xalloc.h"
#include "sidecar/http/target.h"

#include <stdlib.h>
#include <strings.h>
#include <utlist.h>

/* The arena's cap: this, and ARENA_TIMES the body. Decoding an event takes a few times its bytes; more than that is an
 * attack. */
#define ARENA_SIZE  (256u << 10)
#define ARENA_TIMES 8u
/* A publish to a queue in memory is usually confirmed much sooner. */
#define HOLD_MS 2
/* The most that is read of a stream at once. */
#define STREAM_BLOCK (16u << 10)

static struct peer *peer_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* ------------------------------------------------------------------ beginning */

void *exchange_begin(void *ctx, const char *uri, struct MHD_Connection *connection)
{
    struct listener *l = ctx;
    struct exchange *x = xcalloc(1, sizeof *x);
    x->listener = l;
    x->connection = connection;
    x->uri = xstrdup(uri);
    x->peer = peer_of(connection);
    arena_init(&x->arena, ARENA_SIZE);
    if (x->peer)
        x->peer->deadline = mono_add_ms(l->server->now.mono, l->server->config.request_ms);
    DL_APPEND(l->server->exchanges, x);
    return x;
}

struct headers {
    struct api_header *items;
    size_t count;
};

static enum MHD_Result add_header(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct headers *h = ctx;
    (void)kind;
    h->items[h->count++] = (struct api_header){ span_str(name), span_str(value ? value : "") };
    return MHD_YES;
}

/* The authority of an absolute-form target overrides the Host header (RFC 9112, 3.2.2). The number of Host headers
 * stays as it is: api_begin checks it. */
static void set_host(struct headers *h, struct span authority)
{
    bool any = false;
    for (size_t i = 0; i < h->count; i++) {
        if (strcasecmp((const char *)h->items[i].name.data, "Host") != 0)
            continue;
        h->items[i].value = authority;
        any = true;
    }
    if (!any)
        h->items[h->count++] = (struct api_header){ span_str("Host"), authority };
}

static void fill_request(struct exchange *x, const char *method)
{
    int count = MHD_get_connection_values(x->connection, MHD_HEADER_KIND, NULL, NULL);
    struct headers h = { arena_alloc(&x->arena, ((size_t)count + 1) * sizeof *h.items), 0 };
    struct http_target target;
    target_split(x->uri, &target);
    if (h.items)
        MHD_get_connection_values(x->connection, MHD_HEADER_KIND, add_header, &h);
    if (h.items && target.authority.data)
        set_host(&h, target.authority);
    x->request = (struct api_request){
        .listener = x->listener->which,
        .method = span_str(arena_strndup(&x->arena, method, strlen(method))),
        .path = target.path,
        .query = target.query,
        .headers = h.items,
        .header_count = h.count,
    };
}

/* ------------------------------------------------------------------ waiting */

static void suspend(struct exchange *x)
{
    x->suspended = true;
    MHD_suspend_connection(x->connection);
}

/* Neither answers nor suspends the connection: libmicrohttpd asks again in each of its runs. */
static void hold(struct exchange *x)
{
    struct listener *l = x->listener;
    x->held = true;
    x->held_until = mono_add_ms(l->server->now.mono, HOLD_MS);
    l->hold_end = mono_min(l->hold_end, x->held_until);
    l->held++;
}

static void unhold(struct exchange *x)
{
    x->listener->held -= x->held;
    x->held = false;
}

static void hold_or_suspend(struct exchange *x)
{
    struct listener *l = x->listener;
    if (!x->held)
        return;
    if (mono_before(l->server->now.mono, x->held_until)) {
        l->hold_end = mono_min(l->hold_end, x->held_until);
        return;
    }
    unhold(x);
    suspend(x);
}

void http_hold(struct exchange *x)
{
    x->hold = true;
}

/* ------------------------------------------------------------------ answering */

/* libmicrohttpd calls this whenever the socket can take more. While the stream has nothing, its connection is
 * suspended. */
static ssize_t read_stream(void *ctx, uint64_t position, char *to, size_t room)
{
    struct exchange *x = ctx;
    struct http_server *s = x->listener->server;
    (void)position;
    listener_needs_runs(x->listener, 1);
    if (x->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    int64_t size = s->handler.fill(s->ctx, x, (uint8_t *)to, room);
    if (size == HTTP_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (size == 0)
        suspend(x);
    return (ssize_t)size;
}

static struct MHD_Response *response_of(struct exchange *x)
{
    struct api_response *r = &x->response;
    if (x->streams)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x, NULL);
    struct MHD_Response *m = MHD_create_response_from_buffer(r->body.size, r->body.data, MHD_RESPMEM_MUST_FREE);
    r->body = (struct buf){ 0 };
    return m;
}

static enum MHD_Result send_response(struct exchange *x)
{
    struct api_response *r = &x->response;
    struct http_server *s = x->listener->server;
    x->stage = STAGE_ANSWERED;
    if (x->peer)
        x->peer->busy = true;
    listener_needs_runs(x->listener, 2); /* one to write it, one to go on to the next request */
    if (!x->seen)
        s->handler.refused(s->ctx, r->status);
    s->handler.finish(s->ctx, &x->request, &x->arena, r);
    struct MHD_Response *m = response_of(x);
    if (r->content_type)
        MHD_add_response_header(m, "Content-Type", r->content_type);
    for (size_t i = 0; i < r->header_count; i++)
        MHD_add_response_header(m, (const char *)r->headers[i].name.data, (const char *)r->headers[i].value.data);
    if (x->close || s->closing)
        MHD_add_response_header(m, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)r->status, m);
    MHD_destroy_response(m);
    return result;
}

static enum MHD_Result read_headers(struct exchange *x, const char *method)
{
    struct http_server *s = x->listener->server;
    fill_request(x, method);
    enum api_answer answer = s->handler.begin(s->ctx, &x->request, &x->arena, &x->body_limit, &x->response, &x->close);
    x->stage = answer == API_CONTINUE ? STAGE_BODY : STAGE_REFUSED;
    /* Refused with the body unread: the connection cannot be reused, so answer now. */
    return x->stage == STAGE_REFUSED && x->close ? send_response(x) : MHD_YES;
}

/* ------------------------------------------------------------------ the complete request */

static void ask(struct exchange *x)
{
    struct http_server *s = x->listener->server;
    x->request.body = buf_span(&x->body);
    x->arena.cap += x->body.size * ARENA_TIMES;
    x->stage = STAGE_ASKED;
    x->seen = true;
    if (x->peer) {
        x->peer->busy = true;
        x->peer->deadline = MONO_NEVER; /* from here on the sidecar is what takes time */
    }
    s->handler.request(s->ctx, x, &x->request, &x->arena);
    if (x->stage == STAGE_ASKED)
        (x->hold ? hold : suspend)(x);
}

enum MHD_Result exchange_access(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **slot)
{
    struct exchange *x = *slot;
    (void)ctx, (void)connection, (void)url, (void)version;
    if (x->peer)
        x->peer->moved = true;
    if (x->stage == STAGE_CUT_SHORT)
        return MHD_NO;
    if (x->stage == STAGE_ADDRESS)
        return read_headers(x, method);
    if (*upload_size) {
        exchange_add_body(x, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (x->stage == STAGE_ASKED)
        hold_or_suspend(x);
    if (x->stage == STAGE_BODY)
        ask(x);
    if (x->stage == STAGE_ASKED)
        return MHD_YES; /* held or suspended */
    return send_response(x);
}

/* ------------------------------------------------------------------ the answer, and the end */

void http_answer(struct exchange *x, struct api_response *response)
{
    if (x->stage != STAGE_ASKED) { /* was abandoned, and has an answer already */
        buf_free(&response->body);
        return;
    }
    x->response = *response;
    response->body = (struct buf){ 0 };
    x->stage = STAGE_ANSWERED;
    if (x->peer)
        x->peer->deadline = mono_add_ms(x->listener->server->now.mono, x->listener->server->config.request_ms);
    http_wake(x);
}

void http_stream(struct exchange *x, struct api_response *head)
{
    x->streams = true;
    http_answer(x, head);
    if (x->peer)
        x->peer->deadline = MONO_NEVER;
}

void http_wake(struct exchange *x)
{
    if (x->suspended)
        MHD_resume_connection(x->connection);
    x->listener->ready |= x->suspended || x->held;
    x->suspended = false;
    unhold(x);
}

void exchange_completed(void *ctx, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode code)
{
    struct listener *l = ctx;
    struct http_server *s = l->server;
    struct exchange *x = *slot;
    (void)connection;
    if (!x)
        return;
    unhold(x);
    if (x->seen)
        s->handler.done(s->ctx, x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (x->peer) {
        x->peer->busy = false;
        x->peer->deadline = mono_add_ms(s->now.mono, s->config.idle_ms + s->config.request_ms);
    }
    DL_DELETE(s->exchanges, x);
    exchange_drop_body(x);
    buf_free(&x->response.body);
    arena_free(&x->arena);
    free(x->uri);
    free(x);
    *slot = NULL;
}

void **http_slot(struct exchange *x)
{
    return &x->slot;
}
