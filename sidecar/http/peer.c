/* Connections, and whether their clients are still there. */
#include "base/xalloc.h"
#include "sidecar/http/exchange.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <utlist.h>

struct peer *peer_new(struct http_server *s, struct MHD_Connection *connection)
{
    struct peer *p = xcalloc(1, sizeof *p);
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

/* Only if nothing is left unread, and only the second time: libmicrohttpd must first read and answer what came before
 * the end. */
bool peer_has_left(struct peer *p)
{
    int unread = 0;
    bool before = p->gone;
    p->gone = !p->busy && peer_is_gone(p) && ioctl(p->fd, FIONREAD, &unread) == 0 && unread == 0;
    return p->gone && before;
}
