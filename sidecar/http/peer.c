/* Connections, and whether their clients are still there. */
#include "base/xalloc.h"
#include "sidecar/http/exchange.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <utlist.h>

/* Runs of a listener in which a connection surely was read, if there was room. */
#define RUNS_TO_READ 8

struct peer *peer_new(const struct listener *l, struct MHD_Connection *connection)
{
    struct http_server *s = l->server;
    struct peer *p = xcalloc(1, sizeof *p);
    p->listener = l;
    p->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    p->deadline = mono_add_ms(s->now.mono, s->config.idle_ms + s->config.request_ms);
    DL_APPEND(s->peers, p);
    s->peer_count++;
    return p;
}

void peer_free(struct http_server *s, struct peer *p)
{
    DL_DELETE(s->peers, p);
    s->peer_count--;
    free(p);
}

bool peer_is_gone(const struct peer *p)
{
    struct pollfd f = { .fd = p->fd, .events = POLLRDHUP };
    return poll(&f, 1, 0) > 0 && (f.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

static bool has_unread(const struct peer *p)
{
    int unread = 0;
    return ioctl(p->fd, FIONREAD, &unread) == 0 && unread != 0;
}

/* Only if nothing is left unread, and only the second time: libmicrohttpd must first read and answer what came before
 * the end. */
bool peer_has_left(struct peer *p)
{
    bool before = p->gone;
    p->gone = !p->busy && peer_is_gone(p) && !has_unread(p);
    return p->gone && before;
}

/* Only the second time: what was unread at the first could have come just then. */
bool peer_is_stuck(struct peer *p)
{
    bool before = p->stuck, could_read = p->listener->runs - p->runs >= RUNS_TO_READ;
    p->stuck = could_read && !p->busy && !p->moved && has_unread(p);
    p->moved = false;
    p->runs = p->listener->runs;
    return p->stuck && before;
}
