/* What the files of the binding share. Private to them. */
#ifndef SLUICE_BINDING_PRIV_H
#define SLUICE_BINDING_PRIV_H

#include "base/curve.h"
#include "base/ipc_lock.h"
#include "clients/net/binding.h"

struct binding {
    void *zmq; /* the context, borrowed */
    char *broker;
    void *control, *inbox, *ingress;
    /* A ZMQ_FD says once that something came, and whoever reads or sends on the socket takes the word away: so a socket
     * is read until it is empty, and again after it was sent on. In between it is left alone: each look at an idle one
     * would cost system calls. */
    int control_fd, inbox_fd;
    bool control_more, inbox_more;
    bool looked;          /* both were asked since the last binding_receive */
    bool connected;       /* the DEALER was connected once */
    char *inbox_bound;    /* as zmq shows it */
    struct ipc_lock lock; /* of an ipc inbox */
    bool has_keys;        /* CURVE */
    struct curve_keys own_keys;
    char broker_key[CURVE_KEY_SIZE];
    struct admit *admit;
    struct client *client;
    struct client_handler own;
    struct client_handler user;
    void *ctx;
};

/* With what all of a client's sockets have set; NULL with errno. */
void *binding_socket(struct binding *b, int type);

/* For client_new; ctx: the binding. */
extern const struct client_handler binding_effects;

#endif
