/* The broker's sockets: the control ROUTER, the ingress PULL, and a lane (PUSH) per session. One thread owns a net.
 * Nothing blocks but net_wait. */
#ifndef SLUICE_BROKER_NET_H
#define SLUICE_BROKER_NET_H

#include "base/error.h"
#include "base/one_thread.h"
#include "broker/core/core.h"

struct net;

struct net_options {
    const char *listen;  /* control: tcp://HOST:PORT (PORT 0: any), ipc://PATH, inproc://NAME */
    const char *ingress; /* NULL: tcp's next port (any when 0), ipc's PATH.ingress, inproc's NAME.ingress */
    bool insecure;       /* may listen beyond loopback without CURVE */
    uint32_t max_sessions;
    uint64_t unread_most; /* bytes of replies to calls that all peers together may leave unread */
    /* CURVE for tcp: this broker's secret key, and a file or directory of the public keys to admit; both or none. */
    const char *secret_key_file, *clients;
};

/* Binds both sockets. NULL with an error: port in use, reachable from beyond loopback without `insecure`, bad
 * endpoint, … `zmq_context` is borrowed, `options` for the call. */
struct net *net_open(void *zmq_context, const struct net_options *options, struct error *e);
void net_close(struct net *n);
/* The endpoints as bound, with the port that a 0 became; valid until net_close. */
const char *net_control_endpoint(const struct net *n);
const char *net_ingress_endpoint(const struct net *n);
/* Waits until a socket, stop_fd or disk_fd (< 0: none) is readable, or until a time. Returns at once while messages are
 * left from the last net_receive. True when stop_fd is readable. */
bool net_wait(struct net *n, mono_t until, int stop_fd, int disk_fd);
/* The same for somebody who waits himself: what to wait for, until when, and what was readable (bit i: fds[i]). The
 * descriptors may change in a turn. */
#define NET_FDS 3
void net_fds(const struct net *n, int fds[NET_FDS]);
mono_t net_due(const struct net *n, mono_t now);
void net_readable(struct net *n, unsigned fds);
/* What was received and sent since the start. */
struct traffic net_traffic(const struct net *n);
/* Feeds what arrived to the core: at most `budget` messages of each socket, so that a flood cannot starve the rest.
 * True when more is waiting. */
bool net_receive(struct net *n, struct core *core, struct now now, size_t budget);
/* Reloads the keys to admit from the same path. Sessions whose key is no longer among them end. False with an error,
 * and nothing changed. */
bool net_reload_clients(struct net *n, struct core *core, struct now now, struct error *e);
/* Carries out the core's effects and clears them. */
void net_perform(struct net *n, struct core *core, struct now now);

#endif
