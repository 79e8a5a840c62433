/* The broker's sockets, shared by the files that open them, receive from them and send on them. */
#ifndef SLUICE_BROKER_NET_NET_STATE_H
#define SLUICE_BROKER_NET_NET_STATE_H

#include "base/curve.h"
#include "base/ipc_lock.h"
#include "broker/net/endpoints.h"
#include "broker/net/lanes.h"
#include "broker/net/net.h"
#include "broker/net/replies.h"

#define ENDPOINT_SIZE 256
/* libzmq lets go of an endpoint a moment after the close that freed it. */
#define REBIND_TRY_MS 5

struct net {
    void *context, *control;
    void *ingress; /* NULL while it is being bound again */
    void *zap;     /* NULL when all is inproc, which has no handshakes */
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
    /* A ZMQ_FD says once that something came, and whoever reads or sends on the socket takes the word away: so a socket
     * is read until it is empty, and again after it was sent on. In between it is left alone: each look at an idle one
     * would cost system calls. */
    int control_fd, ingress_fd, zap_fd;
    bool control_more, ingress_more, zap_more;
};

/* Says so when nobody is admitted. */
void net_warn_if_no_keys(const struct net *n);

/* The descriptor that says when to look at a socket. */
int net_fd_of(void *socket);

/* A PULL socket with the options of an ingress on `endpoint`, not bound yet; NULL when there is none to have. */
void *net_open_ingress(struct net *n, const char *endpoint);

/* Binds, and writes the endpoint as it came to be (a port 0 has become one) to `bound`. */
bool net_bind(void *socket, const char *endpoint, char bound[ENDPOINT_SIZE], struct error *e);

/* Drops every connection of the ingress with all that libzmq holds of them; clients connect again by themselves. */
void net_rebind_begin(struct net *n, mono_t now);

/* Binds it again, when its endpoint is free by now; to be tried until it is bound. */
void net_rebind_try(struct net *n, mono_t now);

#endif
