/* Connections and exchanges. Private to sidecar/http. */
#ifndef SLUICE_SIDECAR_HTTP_EXCHANGE_H
#define SLUICE_SIDECAR_HTTP_EXCHANGE_H

#include "sidecar/http/listen.h"
#include "sidecar/http/server.h"

#include <microhttpd.h>

#define LISTENERS HTTP_FDS

struct listener {
    struct http_server *server;
    enum api_listener which;
    struct MHD_Daemon *daemon; /* NULL: not used */
    int fd;                    /* the listening socket */
    int epoll_fd;              /* the daemon's: readable when the daemon has something to do */
    uint64_t runs;             /* how often the daemon was run */
    unsigned runs_needed;      /* runs still needed by a connection although no socket becomes readable */
    size_t held;     /* connections that wait without being suspended; libmicrohttpd polls them in each of its runs */
    mono_t hold_end; /* when the first of them is suspended, as of the last run */
    bool quiet;      /* no longer listens */
    bool ready;      /* must be run: its descriptor was readable, or a connection was resumed */
    mono_t due;      /* when to run it even if nothing happens */
    char address[LISTEN_ADDRESS_MAX];
};

/* A connection, and when it is closed. */
struct peer {
    struct peer *prev, *next;
    const struct listener *listener;
    int fd;
    bool busy;     /* a complete request of it is being answered */
    bool gone;     /* as of the last sweep */
    bool stuck;    /* as of the last sweep */
    bool moved;    /* part of a request came since then */
    uint64_t runs; /* the listener's, as of the last sweep */
    mono_t deadline;
};

struct http_server {
    struct http_config config;
    struct http_handler handler;
    void *ctx;
    struct listener listeners[LISTENERS];
    struct peer *peers;
    uint32_t peer_count;
    struct exchange *exchanges;
    uint64_t body_bytes; /* size of all bodies of these */
    mono_t next_sweep;
    bool closing; /* every response closes its connection */
    struct now now;
};

/* Up to STAGE_REFUSED the request is still arriving. STAGE_ASKED: the handler has it. STAGE_CUT_SHORT: it was answered
 * before it had arrived. */
enum stage { STAGE_ADDRESS, STAGE_BODY, STAGE_REFUSED, STAGE_ASKED, STAGE_ANSWERED, STAGE_CUT_SHORT };

struct exchange {
    struct exchange *prev, *next;
    struct listener *listener;
    struct MHD_Connection *connection;
    struct peer *peer;
    enum stage stage;
    bool hold; /* hold it instead of suspending it (http_hold) */
    bool held; /* is held, until held_until */
    bool suspended;
    bool seen;    /* the handler's `request` was called */
    bool close;   /* close the connection after the response */
    bool streams; /* the response is a stream */
    bool cut;     /* end the stream: its client is gone */
    char *uri;    /* the request target as sent */
    struct api_request request;
    struct arena arena;
    struct buf body;
    uint64_t body_limit;
    struct api_response response;
    void *slot;
    mono_t held_until;
};

/* The listener must be run this many more times for one of its connections. */
static inline void listener_needs_runs(struct listener *l, unsigned runs)
{
    l->runs_needed = l->runs_needed > runs ? l->runs_needed : runs;
}

struct peer *peer_new(const struct listener *l, struct MHD_Connection *connection);
void peer_free(struct http_server *s, struct peer *p);

/* Has its client closed or reset it, or shut down its sending side? */
bool peer_is_gone(const struct peer *p);
/* Likewise, for a connection without a request that is being answered or still could be. Call it once per sweep: it is
 * true only if two calls in a row found the client gone. */
bool peer_has_left(struct peer *p);
/* Has libmicrohttpd no room left to read the rest of its request? It does not notice that with a chunk's size or
 * extension, and then wants to run for ever. Call it once per sweep, too. */
bool peer_is_stuck(struct peer *p);
/* Ends the exchanges that wait for an answer while their client is gone: libmicrohttpd does not notice that a suspended
 * connection was closed. */
void exchanges_drop_gone(struct http_server *s);
/* The connection must end. If only part of a request arrived, answers it, with REASON_timeout or another; the caller
 * then closes the connection. */
void exchange_cut_short(struct http_server *s, const struct peer *p, enum reason why);

/* Adds the next piece of the request's body, or refuses the request for its size. */
void exchange_add_body(struct exchange *x, const char *bytes, size_t size);
void exchange_drop_body(struct exchange *x);

/* Callbacks of libmicrohttpd; ctx is the listener. */
void *exchange_begin(void *ctx, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_access(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **slot);
void exchange_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                        enum MHD_RequestTerminationCode code);
#endif
