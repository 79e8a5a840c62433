/* The state of a net, shared by the files of this folder: they open the sockets, receive from them, send on them. */
#ifndef SLUICE_BROKER_NET_NET_STATE_H
#define SLUICE_BROKER_NET_NET_STATE_H

#include "base/curve.h"
#include "base/ipc_lock.h"
#include "broker/net/endpoints.h"
#include "broker/net/lanes.h"
#include "broker/net/net.h"
#include "broker/net/replies.h"

#define ENDPOINT_SIZE 256
/* How often to try binding the ingress again: libzmq releases an endpoint a moment after its socket was closed. */
#define REBIND_TRY_MS 5

struct net {
    void *context, *control;
    void *ingress; /* NULL while it is being bound again */
    void *zap;     /* answers handshakes; NULL over inproc, which has none */
    enum transport control_transport, ingress_transport;
    char control_endpoint[ENDPOINT_SIZE], ingress_endpoint[ENDPOINT_SIZE];
    struct ipc_lock control_lock, ingress_lock;
    bool has_keys; /* CURVE over tcp */
    struct curve_keys keys;
    char *clients_path;
    struct curve_set clients;
    struct lanes *lanes;
    struct replies *replies;
    mono_t rebind_since, rebind_logged;
    /* A ZMQ_FD is edge-triggered, and both reading from and sending on the socket clear it. So once a socket was
     * reported readable, or was sent on, it is read until it is empty (`_more` is true that long). In between it is
     * left alone, because each look at an idle socket costs system calls. */
    int control_fd, ingress_fd, zap_fd;
    bool control_more, ingress_more, zap_more;
    struct traffic traffic;
};

/* Logs a warning when no key is admitted. */
void net_warn_if_no_keys(const struct net *n);

/* The socket's ZMQ_FD. */
int net_fd_of(void *socket);

/* Makes a PULL socket with the options of an ingress on `endpoint`; not bound yet. NULL: libzmq has no more sockets. */
void *net_open_ingress(struct net *n, const char *endpoint);

/* Binds a socket, and writes the endpoint as bound (a port 0 has become a real one) to `bound`. */
bool net_bind(void *socket, const char *endpoint, char bound[ENDPOINT_SIZE], struct error *e);

/* Closes the ingress, which drops all its connections with everything that libzmq holds for them. Clients reconnect
 * by themselves. */
void net_rebind_begin(struct net *n, mono_t now);

/* Binds the ingress again if its endpoint is free by now. Call until n->ingress is set. */
void net_rebind_try(struct net *n, mono_t now);

#endif
