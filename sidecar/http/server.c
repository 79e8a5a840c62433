/* Listeners, and what the event loop calls. A quiesced daemon hands its listening socket back, which must be closed, or
 * new clients hang in its backlog. */
#include "sidecar/http/server.h"

#include "base/log.h"
#include "base/xalloc.h"
#include "sidecar/http/exchange.h"
#include "sidecar/http/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Per connection: 16 KiB of headers, and room to answer that they were too large. */
#define CONNECTION_MEMORY (24u << 10)
#define SWEEP_MS          1000
/* Runs of a listener per loop turn: a limit, so that one listener cannot keep the loop to itself. */
#define RUNS 4

struct http_server *http_open(const struct http_config *config, const struct http_handler *handler, void *ctx)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    s->config = *config;
    s->handler = *handler;
    s->ctx = ctx;
    for (unsigned i = 0; i < LISTENERS; i++)
        s->listeners[i] = (struct listener){ .server = s, .which = (enum api_listener)i };
    return s;
}

/* Leaves the path as sent: a %2F in a name must not become a slash. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx, (void)connection;
    return strlen(text);
}

static void log_mhd(void *ctx, const char *format, va_list args)
{
    char text[256];
    (void)ctx;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_write(LOG_DEBUG, "http", "%s", text);
}

static void connection_changed(void *ctx, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    struct listener *l = ctx;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = peer_new(l, connection);
    else if (*context)
        peer_free(l->server, *context);
    /* If the connection limit was reached, libmicrohttpd accepts again only in its next run, which no descriptor
     * triggers. */
    l->ready |= code == MHD_CONNECTION_NOTIFY_CLOSED;
}

/* A listener's limit of connections. If accept fails because no file descriptor is left, a listener without connections
 * retries in a busy loop, and everything else in the process fails, too. So if max_connections for each listener is
 * more than there are descriptors, these are divided: an eighth each for operations and probes, the rest for the
 * application. */
static unsigned connections_of(const struct http_server *s, enum api_listener which)
{
    uint64_t most = s->config.max_connections, eighth = s->config.descriptors / 8;
    uint64_t share = which == API_APPLICATION ? s->config.descriptors - 2 * eighth : eighth;
    if (LISTENERS * most <= s->config.descriptors || most <= share)
        return (unsigned)most;
    log_write(LOG_WARN, "http",
              "%s accepts at most %llu connections, not %llu: raise the limit on open files (RLIMIT_NOFILE) for more",
              s->listeners[which].address, (unsigned long long)share, (unsigned long long)most);
    return share ? (unsigned)share : 1;
}

bool http_listen(struct http_server *s, enum api_listener which, const char *address, struct error *e)
{
    struct listener *l = &s->listeners[which];
    l->fd = listen_open(address, l->address, e);
    if (l->fd < 0)
        return false;
    l->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, exchange_access, l,
        MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL, /* first, so that it logs errors in the other options, too */
        MHD_OPTION_LISTEN_SOCKET, l->fd, MHD_OPTION_CONNECTION_LIMIT, connections_of(s, which),
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(s->config.idle_ms / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, l, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, l,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, l, MHD_OPTION_END);
    if (!l->daemon) {
        close(l->fd);
        return error_set(e, "libmicrohttpd would not serve %s", address);
    }
    l->epoll_fd = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    l->ready = true; /* the daemon starts to accept in its first run */
    return true;
}

const char *http_address(const struct http_server *s, enum api_listener which)
{
    return s->listeners[which].daemon ? s->listeners[which].address : NULL;
}

void http_stop_listening(struct http_server *s)
{
    s->closing = true;
    for (unsigned i = 0; i < LISTENERS; i++) {
        struct listener *l = &s->listeners[i];
        if (!l->daemon || l->quiet)
            continue;
        MHD_socket fd = MHD_quiesce_daemon(l->daemon);
        if (fd != MHD_INVALID_SOCKET)
            close(fd);
        if (strncmp(l->address, "unix:", 5) == 0)
            unlink(l->address + 5);
        l->quiet = true;
    }
}

void http_close(struct http_server *s)
{
    if (!s)
        return;
    http_stop_listening(s);
    http_abandon(s);
    for (unsigned i = 0; i < LISTENERS; i++) {
        if (s->listeners[i].daemon)
            MHD_stop_daemon(s->listeners[i].daemon);
    }
    free(s);
}

/* ------------------------------------------------------------------ for the event loop */

size_t http_fds(const struct http_server *s, int *fds)
{
    size_t count = 0;
    for (unsigned i = 0; i < LISTENERS; i++) {
        if (s->listeners[i].daemon)
            fds[count++] = s->listeners[i].epoll_fd;
    }
    return count;
}

void http_readable(struct http_server *s, int fd)
{
    for (unsigned i = 0; i < LISTENERS; i++)
        s->listeners[i].ready |= s->listeners[i].daemon && s->listeners[i].epoll_fd == fd;
}

/* Closes connections that libmicrohttpd would keep:
 * - Its timeouts only measure silence: a client that sends a byte now and then could keep its connection for ever.
 * - If a client closes its connection after only part of a request, libmicrohttpd may not notice before its timeout: a
 *   few clients that vanish like this could use up all connections.
 * - One whose request does not fit into its memory can keep the process busy (peer_is_stuck). */
static void sweep(struct http_server *s)
{
    if (mono_before(s->now.mono, s->next_sweep))
        return;
    s->next_sweep = mono_add_ms(s->now.mono, SWEEP_MS);
    exchanges_drop_gone(s);
    for (struct peer *p = s->peers; p; p = p->next) {
        bool late = p->deadline.ns <= s->now.mono.ns, stuck = peer_is_stuck(p), left = peer_has_left(p);
        if (late || stuck)
            exchange_cut_short(s, p, late ? REASON_timeout : REASON_invalid);
        if (late || stuck || left)
            shutdown(p->fd, SHUT_RDWR);
    }
}

/* Does libmicrohttpd want to run again at once only because of held connections? Then it is not run. If another
 * connection needed that run, it gets it in the next turn, or at the latest when the held ones are suspended, within
 * HOLD_MS. */
static bool waits_for_held_only(const struct listener *l)
{
    return l->held && l->runs_needed == 0;
}

/* Runs the listener until it only waits for its sockets. MHD_get_timeout does not report resumed connections;
 * exchange.c sets `ready` for these. */
static void run(struct listener *l, mono_t now)
{
    MHD_UNSIGNED_LONG_LONG ms = 0;
    bool hurry = true, timed = false;
    for (unsigned i = 0; i < RUNS && hurry; i++) {
        l->ready = false;
        l->runs_needed -= l->runs_needed > 0;
        l->hold_end = MONO_NEVER;
        l->runs++;
        MHD_run(l->daemon);
        timed = MHD_get_timeout(l->daemon, &ms) == MHD_YES;
        hurry = timed && ms == 0 && !waits_for_held_only(l);
    }
    l->due = hurry || (timed && ms) ? mono_add_ms(now, (int64_t)ms) : MONO_NEVER;
}

void http_run(struct http_server *s, struct now now)
{
    s->now = now;
    sweep(s);
    for (unsigned i = 0; i < LISTENERS; i++) {
        struct listener *l = &s->listeners[i];
        if (l->daemon && (l->ready || mono_min(l->due, l->hold_end).ns <= now.mono.ns))
            run(l, now.mono);
    }
}

mono_t http_due(const struct http_server *s)
{
    mono_t due = s->peers ? s->next_sweep : MONO_NEVER;
    for (unsigned i = 0; i < LISTENERS; i++) {
        const struct listener *l = &s->listeners[i];
        if (l->daemon)
            due = mono_min(due, l->ready ? s->now.mono : mono_min(l->due, l->hold_end));
    }
    return due;
}

bool http_is_idle(const struct http_server *s)
{
    return s->exchanges == NULL;
}

uint32_t http_connections(const struct http_server *s)
{
    return s->peer_count;
}
