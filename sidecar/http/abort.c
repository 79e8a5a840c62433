/* Exchanges that are aborted: the client is gone or too slow, or the server stops. */
#include "sidecar/http/exchange.h"

#include <sys/socket.h>
#include <time.h>
#include <utlist.h>

static bool any_is_waiting(const struct http_server *s)
{
    const struct exchange *x;
    DL_FOREACH (s->exchanges, x) {
        if (x->suspended || x->held)
            return true;
    }
    return false;
}

/* libmicrohttpd aborts the process if a daemon is stopped while one of its connections is suspended. The run that sends
 * the answers may also read new requests, hence the loop. It ends, because once the server is closing every answer
 * closes its connection. */
void http_abandon(struct http_server *s)
{
    struct exchange *x;
    do {
        DL_FOREACH (s->exchanges, x) {
            if (x->stage == STAGE_ASKED || x->streams)
                s->handler.abandon(s->ctx, x, REASON_draining);
        }
        http_run(s, s->now);
    } while (s->closing && any_is_waiting(s));
}

bool http_is_alive(const struct exchange *x)
{
    return !x->peer || !peer_is_gone(x->peer);
}

void exchanges_drop_gone(struct http_server *s)
{
    struct exchange *x;
    DL_FOREACH (s->exchanges, x) {
        if (!x->suspended || http_is_alive(x))
            continue;
        if (x->streams) {
            x->cut = true;
            http_wake(x);
            continue;
        }
        x->close = true;
        s->handler.abandon(s->ctx, x,
                           REASON_timeout); /* a client that shut down only its sending side reads the answer */
    }
}

static void write_response(const struct api_response *r, wall_t now, struct buf *out)
{
    struct tm tm;
    char date[40];
    gmtime_r(&(time_t){ now.ms / 1000 }, &tm);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\nContent-Length: %zu\r\n", r->status,
               MHD_get_reason_phrase_for((unsigned)r->status), date, r->body.size);
    if (r->content_type)
        buf_printf(out, "Content-Type: %s\r\n", r->content_type);
    for (size_t i = 0; i < r->header_count; i++)
        buf_printf(out, "%s: %s\r\n", (const char *)r->headers[i].name.data, (const char *)r->headers[i].value.data);
    buf_add_str(out, "\r\n");
    buf_add(out, r->body.data, r->body.size);
}

/* libmicrohttpd accepts no response before the request is complete. It has sent nothing on this connection yet, so the
 * response is written to the socket directly. */
static void send_past(struct http_server *s, int fd, const struct api_request *r, struct arena *a,
                      struct api_response *out)
{
    struct buf text = { 0 };
    s->handler.refused(s->ctx, out->status);
    s->handler.finish(s->ctx, r, a, out);
    write_response(out, s->now.wall, &text);
    send(fd, text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_free(&text);
}

static const char *detail_of(enum reason why)
{
    return why == REASON_invalid
               ? "part of the request, such as a chunk's size with its extension, is too long; shorten it"
               : NULL;
}

static void cut_short(struct exchange *x, enum reason why)
{
    if (x->stage != STAGE_REFUSED)
        api_problem(why, detail_of(why), 0, &x->arena, &x->response);
    x->stage = STAGE_CUT_SHORT; /* the request is not served even if its unread rest completes it */
    send_past(x->listener->server, x->peer->fd, &x->request, &x->arena, &x->response);
}

/* Not even the request line is complete. (A connection that sent nothing at all was closed by libmicrohttpd after
 * idle_ms.) */
static void cut_short_unparsed(struct http_server *s, const struct peer *p, enum reason why)
{
    struct api_request r = { 0 };
    struct api_response out;
    struct arena a;
    arena_init(&a, 4096);
    api_problem(why, detail_of(why), 0, &a, &out);
    send_past(s, p->fd, &r, &a, &out);
    buf_free(&out.body);
    arena_free(&a);
}

void exchange_cut_short(struct http_server *s, const struct peer *p, enum reason why)
{
    struct exchange *x;
    bool any = false;
    DL_FOREACH (s->exchanges, x) {
        if (x->peer != p)
            continue;
        any = true;
        if (x->stage <= STAGE_REFUSED)
            cut_short(x, why);
    }
    if (!any)
        cut_short_unparsed(s, p, why);
}
