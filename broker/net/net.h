/* The broker's sockets: control ROUTER, ingress PULL, one lane (PUSH) per session. The only folder that includes zmq.h.
 * One thread owns a net; nothing blocks but net_wait. */
#ifndef SLUICE_BROKER_NET_H
#define SLUICE_BROKER_NET_H

#include "base/error.h"
#include "broker/core/core.h"

struct net;

struct net_options {
    const char *listen;  /* control: tcp://HOST:PORT (PORT 0: any), ipc://PATH, inproc://NAME */
    const char *ingress; /* NULL: tcp's next port (any when 0), ipc's PATH.ingress, inproc's NAME.ingress */
    bool insecure;       /* may listen beyond loopback without CURVE */
    uint32_t max_sessions;
    uint64_t unread_most; /* bytes of answers to calls that all peers together may leave unread */
    /* CURVE for tcp: this broker's secret key, and a file or directory of the public keys to admit; both or none. */
    const char *secret_key_file, *clients;
};

/* Binds both sockets. NULL with a sentence: port in use, beyond loopback without `insecure`, bad endpoint, …
 * `zmq_context` is borrowed. */
struct net *net_open(void *zmq_context, const struct net_options *options, struct error *e);
void net_close(struct net *n);
/* The endpoints really bound, with the ports filled in; valid until net_close. */
const char *net_control_endpoint(const struct net *n);
const char *net_ingress_endpoint(const struct net *n);
/* Waits until a socket, stop_fd or disk_fd (< 0: none) is readable or timeout_ms (-1: for ever) passed.
 * Returns true when stop_fd is readable. */
bool net_wait(struct net *n, int64_t timeout_ms, int stop_fd, int disk_fd);
/* Puts what arrived into the core: at most `budget` messages of each socket, so that a flood cannot starve the rest.
 * Returns true when more is waiting. */
bool net_receive(struct net *n, struct core *core, struct now now, size_t budget);
/* Reads the keys to admit again, from where they were; sessions of those that are no longer among them end. False with a sentence, and nothing
 * is changed. */
bool net_reload_clients(struct net *n, struct core *core, struct now now, struct error *e);
/* Carries out the core's effects and clears them. */
void net_perform(struct net *n, struct core *core, struct now now);

#endif
