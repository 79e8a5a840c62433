/* Binds the ingress again, when the core asks for that to get rid of its connections. */
#include "broker/net/net_state.h"

#include <malloc.h>
#include <zmq.h>

#define REBIND_LOG_MS 5000

void net_rebind_begin(struct net *n, mono_t now)
{
    if (!n->ingress)
        return;
    zmq_close(n->ingress);
    n->ingress = NULL;
    n->ingress_fd = -1;
    n->ingress_more = false;
    n->rebind_since = n->rebind_logged = now;
}

/* NULL with an error. Over ipc the closed socket leaves its path, which the bind removes; over tcp the port stays in
 * use for a moment. */
static void *open_again(struct net *n, struct error *e)
{
    char bound[ENDPOINT_SIZE];
    void *socket = net_open_ingress(n, n->ingress_endpoint);
    if (!socket)
        error_set(e, "cannot open a socket: %s", zmq_strerror(zmq_errno()));
    if (!socket || net_bind(socket, n->ingress_endpoint, bound, e))
        return socket;
    zmq_close(socket);
    return NULL;
}

void net_rebind_try(struct net *n, mono_t now)
{
    struct error e;
    n->ingress = open_again(n, &e);
    if (n->ingress) {
        n->ingress_fd = net_fd_of(n->ingress);
        n->ingress_more = true;
        malloc_trim(0); /* returns to the system what the flood took */
        log_write(LOG_INFO, "net", "the ingress %s is bound again after %lld ms", n->ingress_endpoint,
                  (long long)mono_since_ms(now, n->rebind_since));
    } else if (mono_since_ms(now, n->rebind_logged) >= REBIND_LOG_MS) {
        n->rebind_logged = now;
        log_write(LOG_ERROR, "net", "cannot bind the ingress %s again, still trying: %s", n->ingress_endpoint, e.text);
    }
}
