/* HTTP by libmicrohttpd, driven from the sidecar's loop: listeners, connections, whole requests in, responses out. The
 * only folder that knows libmicrohttpd. What a request means is sidecar/api's and the handler's.
 *
 * An exchange is one request and its response. The handler gets it when its body is complete, and answers it at once or
 * later (the connection is suspended meanwhile, no thread waits). */
#ifndef SLUICE_SIDECAR_HTTP_H
#define SLUICE_SIDECAR_HTTP_H

#include "sidecar/api/api.h"

struct http_server;
struct exchange;

struct http_handler {
    /* Judges the headers (api_begin's contract). */
    enum api_answer (*begin)(void *ctx, const struct api_request *r, struct arena *a, uint64_t *body_limit,
                             struct api_response *out, bool *close);
    /* The whole request is here; answer it now or later by http_answer. */
    void (*request)(void *ctx, struct exchange *x, const struct api_request *r, struct arena *a);
    /* Every response, before it is sent: adds what all have (api_finish). */
    void (*finish)(void *ctx, const struct api_request *r, struct arena *a, struct api_response *out);
    /* An exchange that `request` never saw was answered: refused by `begin`, or for its body. */
    void (*refused)(void *ctx, int status);
    /* This exchange still waits, and the server ends (REASON_draining) or its client is gone, or half so (REASON_timeout): answer it
     * now, with what is known. Or its answer goes on, and the server ends: end it. */
    void (*abandon)(void *ctx, struct exchange *x, enum reason why);
    /* The exchange is over and about to be freed; `sent`: the response was written whole. Called for every exchange that
     * `request` saw. */
    void (*done)(void *ctx, struct exchange *x, bool sent);
    /* The next bytes of an answer that goes on, at most `room` of them, to `to`: how many; 0: there are none now (http_wake
     * says when); HTTP_END: it is whole. */
    int64_t (*fill)(void *ctx, struct exchange *x, uint8_t *to, size_t room);
    /* Is it a publish? What settles events comes in however much publishes hold, for it is what lets them end. */
    bool (*publishes)(void *ctx, const struct api_request *r);
};

#define HTTP_END (-1)

struct http_config {
    uint32_t max_connections; /* of each listener */
    uint64_t descriptors;     /* most that all of them may take together; then each has less */
    int64_t request_ms;       /* how long a request may take to arrive */
    int64_t idle_ms;          /* how long a connection may stay without a request */
    uint64_t bodies;          /* most bytes of publishes' bodies that arrive or wait; one may have its limit always */
};

struct http_server *http_open(const struct http_config *config, const struct http_handler *handler, void *ctx);
/* Adds a listener on HOST:PORT (port 0: any; [V6]:PORT) or unix:/PATH. False with a sentence. */
bool http_listen(struct http_server *s, enum api_listener which, const char *address, struct error *e);
/* Where that listener really listens, "127.0.0.1:8480"; NULL when there is none. */
const char *http_address(const struct http_server *s, enum api_listener which);
/* Ends every connection. */
void http_close(struct http_server *s);
/* Has every exchange that still waits answered (handler.abandon). */
void http_abandon(struct http_server *s);
/* Closes the listening sockets: no new connections from now on, and each open one ends with its next response. */
void http_stop_listening(struct http_server *s);

/* ---- the loop's part: file descriptors to poll (level-triggered); fds has room for 3 */
size_t http_fds(const struct http_server *s, int *fds);
/* One of them was readable: the next http_run looks. Those of which nothing is said are left alone, for each look costs
 * system calls. */
void http_readable(struct http_server *s, int fd);
/* Does what can be done now. */
void http_run(struct http_server *s, struct now now);
/* When to call http_run at the latest. */
mono_t http_due(const struct http_server *s);

/* ---- exchanges */
/* Answers; takes over the response's body. Exactly once per exchange. The next http_run sends it. */
void http_answer(struct exchange *x, struct api_response *response);
/* It will be answered in a moment, most likely; to be said within `request`. Its connection then is not suspended for a while,
 * for suspending and resuming it would cost four system calls. */
void http_hold(struct exchange *x);
/* Answers with these headers (the response's body is not used) and a body that `fill` gives, piece by piece, for as long as
 * it likes. A client that takes nothing of it for idle_ms is cut off. */
void http_stream(struct exchange *x, struct api_response *head);
/* There is more of it, or its end. */
void http_wake(struct exchange *x);
/* Is its client still connected? One that shut down its sending side counts as gone. */
bool http_is_alive(const struct exchange *x);
/* The handler's own pointer, NULL at first. */
void **http_slot(struct exchange *x);

uint32_t http_connections(const struct http_server *s);
/* No request has come in part, waits, or is being answered. */
bool http_is_idle(const struct http_server *s);

#endif
