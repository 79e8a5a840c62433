/* Opens and closes the sockets: keys, options, endpoints. Every PULL has RCVHWM 0 and is always drained: at its
 * high-water mark libzmq can abort the process when a peer that uses ZMTP heartbeats dies (libzmq #3937). The
 * sessions' windows bound the memory. */
#include "base/curve.h"
#include "base/ipc_lock.h"
#include "base/xalloc.h"
#include "base/zap.h"
#include "broker/net/net_state.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#define CONTROL_MAX_SIZE (1 << 20)
#define CONTROL_HWM      1000
#define HANDSHAKE_MS     2000
/* A client whose machine or network vanished leaves its connections open and comes back with new ones. The old ones
 * are closed after twice this time. With the system's default of two hours a client that keeps coming back would pile
 * them up. */
#define KEEPALIVE_S 60
#define BACKLOG     1024     /* with libzmq's 100, SYNs of a reconnect storm are lost and have to be sent again */
#define DOMAIN      "sluice" /* ZAP domain of control and ingress; lanes have their own (lanes.c) */

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void set_common(struct net *n, void *socket, const char *endpoint, int64_t max_size)
{
    if (n->has_keys && endpoint_transport(endpoint) == TRANSPORT_TCP)
        curve_serve(socket, &n->keys);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_size, sizeof max_size);
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set(socket, ZMQ_BACKLOG, BACKLOG);
    set(socket, ZMQ_TCP_KEEPALIVE, 1);
    set(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S);
    set(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_S / 4);
    set(socket, ZMQ_TCP_KEEPALIVE_CNT, 4);
    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, DOMAIN, sizeof DOMAIN - 1);
    /* Only when asked: with it every IPv4 peer would show as ::ffff:A.B.C.D. */
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
}

static bool refuse_bind(const char *endpoint, struct error *e)
{
    if (zmq_errno() == EADDRINUSE)
        return error_set(e, "%s is in use: another process listens there; stop it or choose another port", endpoint);
    if (zmq_errno() == ENODEV)
        return error_set(e, "cannot listen on %s: that is not an address, name or interface of this machine", endpoint);
    return error_set(e, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
}

bool net_bind(void *socket, const char *endpoint, char bound[ENDPOINT_SIZE], struct error *e)
{
    size_t size = ENDPOINT_SIZE;
    if (zmq_bind(socket, endpoint) != 0)
        return refuse_bind(endpoint, e);
    zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size);
    if (endpoint_transport(endpoint) == TRANSPORT_IPC)
        chmod(endpoint + 6, 0660); /* for the group, too */
    return true;
}

static bool lock_path(struct ipc_lock *lock, const char *endpoint, struct error *e)
{
    return endpoint_transport(endpoint) != TRANSPORT_IPC || ipc_lock_take(lock, endpoint + 6, e);
}

void *net_open_ingress(struct net *n, const char *endpoint)
{
    void *socket = zmq_socket(n->context, ZMQ_PULL);
    if (!socket)
        return NULL;
    set_common(n, socket, endpoint, FRAME_MAX_SIZE);
    set(socket, ZMQ_RCVHWM, 0);
    return socket;
}

static bool open_sockets(struct net *n, const struct net_options *o, struct error *e)
{
    char ingress[ENDPOINT_SIZE];
    if (endpoint_transport(o->listen) != TRANSPORT_INPROC && !(n->zap = zap_open(n->context, e)))
        return false;
    n->control = zmq_socket(n->context, ZMQ_ROUTER);
    n->ingress = net_open_ingress(n, o->ingress ? o->ingress : o->listen);
    if (!n->control || !n->ingress)
        return error_set(e, "cannot create sockets: %s", zmq_strerror(zmq_errno()));
    set_common(n, n->control, o->listen, CONTROL_MAX_SIZE);
    set(n->control, ZMQ_ROUTER_MANDATORY, 1);
    set(n->control, ZMQ_SNDHWM, CONTROL_HWM);
    if (!endpoint_check_listen(o->listen, o->insecure || n->has_keys, e) ||
        !lock_path(&n->control_lock, o->listen, e) || !net_bind(n->control, o->listen, n->control_endpoint, e))
        return false;
    if (o->ingress)
        snprintf(ingress, sizeof ingress, "%s", o->ingress);
    else
        endpoint_ingress(o->listen, ingress, sizeof ingress);
    return endpoint_check_listen(ingress, o->insecure || n->has_keys, e) && lock_path(&n->ingress_lock, ingress, e) &&
           net_bind(n->ingress, ingress, n->ingress_endpoint, e);
}

int net_fd_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

void net_warn_if_no_keys(const struct net *n)
{
    if (n->has_keys && n->clients.count == 0)
        log_write(LOG_WARN, "net", "%s holds no keys: nobody can attach until there are some (SIGHUP reloads them)",
                  n->clients_path);
}

static bool read_keys(struct net *n, const struct net_options *o, struct error *e)
{
    if (!o->secret_key_file != !o->clients)
        return error_set(e, "'curve.secret_key_file' and 'curve.clients' go together: set both or none");
    if (!o->secret_key_file)
        return true;
    n->clients_path = xstrdup(o->clients);
    n->has_keys = curve_read_secret(o->secret_key_file, &n->keys, e) && curve_read_set(o->clients, &n->clients, e);
    net_warn_if_no_keys(n);
    return n->has_keys;
}

struct net *net_open(void *context, const struct net_options *o, struct error *e)
{
    struct net *n = xcalloc(1, sizeof *n);
    n->context = context;
    n->lanes = lanes_new(context, &n->keys);
    n->replies = replies_new(o->unread_most);
    if (!read_keys(n, o, e) || !open_sockets(n, o, e)) {
        net_close(n);
        return NULL;
    }
    n->control_transport = endpoint_transport(n->control_endpoint);
    n->ingress_transport = endpoint_transport(n->ingress_endpoint);
    n->control_fd = net_fd_of(n->control);
    n->ingress_fd = net_fd_of(n->ingress);
    n->zap_fd = n->zap ? net_fd_of(n->zap) : -1;
    n->control_more = n->ingress_more = true;
    n->zap_more = n->zap != NULL;
    if (endpoint_is_exposed(o->listen) && !n->has_keys)
        log_write(LOG_WARN, "net",
                  "listening on %s WITHOUT authentication (insecure: true): anybody who reaches it may do "
                  "everything; keep strangers out with a NetworkPolicy",
                  n->control_endpoint);
    return n;
}

void net_close(struct net *n)
{
    if (!n)
        return;
    if (n->control)
        zmq_close(n->control);
    if (n->ingress)
        zmq_close(n->ingress);
    if (n->zap)
        zmq_close(n->zap);
    lanes_free(n->lanes);
    replies_free(n->replies);
    curve_set_free(&n->clients);
    free(n->clients_path);
    sodium_memzero(&n->keys, sizeof n->keys);
    ipc_lock_release(&n->control_lock);
    ipc_lock_release(&n->ingress_lock);
    free(n);
}
