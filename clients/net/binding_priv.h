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
    /* A ZMQ_FD signals once that something arrived, and any read or send on the socket clears the signal. So a
     * socket is read until it is empty, and again after every send. In between it is left alone: reading an idle one
     * costs system calls. */
    int control_fd, inbox_fd;
    bool control_more, inbox_more;
    bool looked; /* both were polled since the last binding_receive */
    struct traffic traffic;
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

/* A new socket with the options that all sockets of a client have; NULL with errno. */
void *binding_socket(struct binding *b, int type);

/* For client_new; ctx: the binding. */
extern const struct client_handler binding_effects;

#endif
