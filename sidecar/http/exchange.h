/* Connections and exchanges. Private to sidecar/http. */
#ifndef SLUICE_SIDECAR_HTTP_EXCHANGE_H
#define SLUICE_SIDECAR_HTTP_EXCHANGE_H

#include "sidecar/http/listen.h"
#include "sidecar/http/server.h"

#include <microhttpd.h>

#define LISTENERS 3u

struct listener {
    struct http_server *server;
    enum api_listener which;
    struct MHD_Daemon *daemon; /* NULL: not used */
    int fd;                    /* that listens */
    int epoll_fd;              /* the daemon's: readable when there is something to do for it */
    unsigned owed;             /* runs that a connection needs of which no socket will tell */
    size_t held; /* connections that wait without being suspended: libmicrohttpd wants to look at them all the time */
    mono_t hold_end; /* of the first of them, as the last run saw it */
    bool quiet;
    bool ready; /* to be run: its descriptor was readable, or a connection of it goes on */
    mono_t due; /* when it is to be run all the same */
    char address[LISTEN_ADDRESS_MAX];
};

/* A connection, for its deadline. */
struct peer {
    struct peer *prev, *next;
    int fd;
    bool busy; /* with a request that is whole */
    bool gone; /* when it was looked at last */
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
    uint64_t body_bytes; /* of their bodies */
    mono_t next_sweep;
    bool closing; /* every response is its connection's last */
    struct now now;
};

/* Up to STAGE_REFUSED the request is still arriving; STAGE_TIMED_OUT: it took too long, and its client was told. */
enum stage { STAGE_ADDRESS, STAGE_BODY, STAGE_REFUSED, STAGE_ASKED, STAGE_ANSWERED, STAGE_TIMED_OUT };

struct exchange {
    struct exchange *prev, *next;
    struct listener *listener;
    struct MHD_Connection *connection;
    struct peer *peer;
    enum stage stage;
    bool hold; /* to be held, not suspended */
    bool held; /* until held_until */
    bool suspended;
    bool seen;    /* by the handler's `request` */
    bool close;   /* after the response */
    bool streams; /* its answer goes on; `cut`: no more, its client is gone */
    bool cut;
    char *uri; /* the target as it was sent */
    struct api_request request;
    struct arena arena;
    struct buf body;
    uint64_t body_limit;
    struct api_response response;
    void *slot;
    mono_t held_until;
};

/* One of its connections needs so many more runs. */
static inline void listener_owes(struct listener *l, unsigned runs)
{
    l->owed = l->owed > runs ? l->owed : runs;
}

struct peer *peer_new(struct http_server *s, struct MHD_Connection *connection);
void peer_free(struct http_server *s, struct peer *p);

/* Has its client closed or reset it, or shut down its sending side? */
bool peer_is_gone(const struct peer *p);
/* The same of one of which nothing is being answered, and nothing can be any more. To be asked from time to time. */
bool peer_has_left(struct peer *p);
/* Ends the waiting of exchanges whose client has gone: a suspended connection's end is not seen by libmicrohttpd. */
void exchanges_drop_gone(struct http_server *s);
/* Has this connection brought a part of a request only, of its first line say? Then it is answered that its time is over; to be closed after
 * that. */
void exchange_time_out(struct http_server *s, const struct peer *p);

/* The next piece of its body. */
void exchange_add_body(struct exchange *x, const char *bytes, size_t size);
void exchange_drop_body(struct exchange *x);

/* libmicrohttpd's callbacks; ctx is the listener. */
void *exchange_begin(void *ctx, const char *uri, struct MHD_Connection *connection);
enum MHD_Result exchange_access(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **slot);
void exchange_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                        enum MHD_RequestTerminationCode code);
#endif
