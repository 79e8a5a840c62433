/* HTTP server on libmicrohttpd, driven by the sidecar's event loop: listeners, connections, complete requests in,
 * responses out. sidecar/http is the only folder that uses libmicrohttpd; what a request means is up to sidecar/api and
 * the handler.
 *
 * An exchange is one request and its response. The handler gets it when its body is complete, and answers at once or
 * later; meanwhile the connection is suspended, and no thread waits. */
#ifndef SLUICE_SIDECAR_HTTP_H
#define SLUICE_SIDECAR_HTTP_H

#include "sidecar/api/api.h"

struct http_server;
struct exchange;

struct http_handler {
    /* Checks the headers, before the body is read; contract as api_begin. */
    enum api_answer (*begin)(void *ctx, const struct api_request *r, struct arena *a, uint64_t *body_limit,
                             struct api_response *out, bool *close);
    /* The request is complete. Answer it now or later with http_answer. */
    void (*request)(void *ctx, struct exchange *x, const struct api_request *r, struct arena *a);
    /* Called for every response before it is sent; adds the headers that all responses have (api_finish). */
    void (*finish)(void *ctx, const struct api_request *r, struct arena *a, struct api_response *out);
    /* An exchange was answered for which `request` was not called: `begin` refused it, or its body was, or it timed
     * out. */
    void (*refused)(void *ctx, int status);
    /* This exchange must end now, because the server stops (REASON_draining) or its client closed the connection or
     * shut down its sending side (REASON_timeout). If it still waits, answer it with what is known; if it streams, end
     * the stream. */
    void (*abandon)(void *ctx, struct exchange *x, enum reason why);
    /* The exchange is about to be freed; `sent`: the whole response was written. Called for every exchange for which
     * `request` was called. */
    void (*done)(void *ctx, struct exchange *x, bool sent);
    /* Writes the next bytes of a stream, at most `room`, to `to`. Returns how many; 0: none now, http_wake will be
     * called when there are some; HTTP_END: the stream is complete. */
    int64_t (*fill)(void *ctx, struct exchange *x, uint8_t *to, size_t room);
    /* Is the request a publish? Only these are refused for `bodies`: acks must always get in, because they are what
     * frees the room that publishes wait for. */
    bool (*publishes)(void *ctx, const struct api_request *r);
};

#define HTTP_END (-1)

struct http_config {
    uint32_t max_connections; /* of each listener */
    uint64_t descriptors; /* limit on the connections of all listeners together; lowers max_connections if need be */
    int64_t request_ms;   /* how long a request may take to arrive */
    int64_t idle_ms;      /* how long a connection may stay open without a request */
    uint64_t bodies;      /* while bodies in memory have more bytes, large publishes are refused; at least one fits */
};

struct http_server *http_open(const struct http_config *config, const struct http_handler *handler, void *ctx);
/* Adds a listener on HOST:PORT, [V6]:PORT (port 0: any free one) or unix:/PATH. False with a message in *e. */
bool http_listen(struct http_server *s, enum api_listener which, const char *address, struct error *e);
/* The address that the listener is bound to, "127.0.0.1:8480"; NULL if there is no such listener. */
const char *http_address(const struct http_server *s, enum api_listener which);
/* Ends every connection and frees the server; NULL is allowed. */
void http_close(struct http_server *s);
/* Has every waiting exchange answered and every stream ended, by handler.abandon. */
void http_abandon(struct http_server *s);
/* Closes the listening sockets: no new connections are accepted, and each open one closes after its next response. */
void http_stop_listening(struct http_server *s);

#define HTTP_FDS 3u
/* ---- for the event loop: file descriptors to poll (level-triggered), at most HTTP_FDS; returns how many */
size_t http_fds(const struct http_server *s, int *fds);
/* `fd` was readable: the next http_run serves its listener. Listeners without such a call are skipped, because running
 * them costs system calls. */
void http_readable(struct http_server *s, int fd);
/* Does what can be done without waiting. */
void http_run(struct http_server *s, struct now now);
/* When to call http_run at the latest. */
mono_t http_due(const struct http_server *s);

/* ---- exchanges */
/* Answers the exchange, exactly once; takes over the response's body. The next http_run sends it. */
void http_answer(struct exchange *x, struct api_response *response);
/* Says, from within `request`, that the answer is most likely to come within a moment. The connection then is not
 * suspended for the first 2 ms, which saves the four system calls of suspending and resuming it. */
void http_hold(struct exchange *x);
/* Answers with the headers of `head` (its body is not used) and a body that the handler's `fill` supplies piece by
 * piece, for as long as it likes. A client that reads nothing for idle_ms is disconnected. */
void http_stream(struct exchange *x, struct api_response *head);
/* The stream has more bytes, or has ended: `fill` will be called. */
void http_wake(struct exchange *x);
/* Is the client still connected? One that shut down its sending side counts as gone. */
bool http_is_alive(const struct exchange *x);
/* A pointer for the handler's own use, initially NULL. */
void **http_slot(struct exchange *x);

/* How many connections are open. */
uint32_t http_connections(const struct http_server *s);
/* True when there is no exchange: no request is partly received, waiting or being answered. */
bool http_is_idle(const struct http_server *s);

#endif
