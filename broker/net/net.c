/* Control, ingress, lanes. Every PULL has RCVHWM 0 and is always drained: at its high-water mark libzmq can abort the
 * process when a peer that uses ZMTP heartbeats dies (libzmq #3937). Memory is bounded by the sessions' windows. */
#include "broker/net/net.h"

#include "base/ipc_lock.h"
#include "base/xalloc.h"
#include "broker/net/endpoints.h"
#include "broker/net/lanes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#define CONTROL_MAX_SIZE (1 << 20)
#define CONTROL_HWM      1000
#define HANDSHAKE_MS     2000
#define ENDPOINT_SIZE    256

struct net {
    void *control, *ingress;
    enum transport control_transport, ingress_transport;
    char control_endpoint[ENDPOINT_SIZE], ingress_endpoint[ENDPOINT_SIZE];
    struct ipc_lock control_lock, ingress_lock;
    struct lanes *lanes;
};

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void set_common(void *socket, const char *endpoint, int64_t max_size)
{
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max_size, sizeof max_size);
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set(socket, ZMQ_TCP_KEEPALIVE, 1);
    /* Only when asked: with it every IPv4 peer would show as ::ffff:A.B.C.D. */
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
}

static bool refuse_bind(const char *endpoint, struct error *e)
{
    if (zmq_errno() == EADDRINUSE)
        return error_set(e, "%s is in use: another process listens there; stop it or choose another port", endpoint);
    return error_set(e, "cannot listen on %s: %s", endpoint, zmq_strerror(zmq_errno()));
}

static bool bind_socket(void *socket, const char *endpoint, char bound[ENDPOINT_SIZE], struct error *e)
{
    size_t size = ENDPOINT_SIZE;
    if (zmq_bind(socket, endpoint) != 0)
        return refuse_bind(endpoint, e);
    zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size);
    if (endpoint_transport(endpoint) == TRANSPORT_IPC)
        chmod(endpoint + 6, 0660); /* the group shares it */
    return true;
}

static bool own_path(struct ipc_lock *lock, const char *endpoint, struct error *e)
{
    return endpoint_transport(endpoint) != TRANSPORT_IPC || ipc_lock_take(lock, endpoint + 6, e);
}

static bool open_sockets(struct net *n, void *context, const struct net_options *o, struct error *e)
{
    char ingress[ENDPOINT_SIZE];
    n->control = zmq_socket(context, ZMQ_ROUTER);
    n->ingress = zmq_socket(context, ZMQ_PULL);
    if (!n->control || !n->ingress)
        return error_set(e, "cannot create sockets: %s", zmq_strerror(zmq_errno()));
    set_common(n->control, o->listen, CONTROL_MAX_SIZE);
    set(n->control, ZMQ_ROUTER_MANDATORY, 1);
    set(n->control, ZMQ_SNDHWM, CONTROL_HWM);
    set_common(n->ingress, o->ingress ? o->ingress : o->listen, FRAME_MAX_SIZE);
    set(n->ingress, ZMQ_RCVHWM, 0);
    if (!endpoint_check(o->listen, o->insecure, e) || !own_path(&n->control_lock, o->listen, e) ||
        !bind_socket(n->control, o->listen, n->control_endpoint, e))
        return false;
    if (o->ingress)
        snprintf(ingress, sizeof ingress, "%s", o->ingress);
    else
        endpoint_ingress(o->listen, ingress, sizeof ingress);
    return endpoint_check(ingress, o->insecure, e) && own_path(&n->ingress_lock, ingress, e) &&
           bind_socket(n->ingress, ingress, n->ingress_endpoint, e);
}

struct net *net_open(void *context, const struct net_options *o, struct error *e)
{
    struct net *n = xcalloc(1, sizeof *n);
    n->lanes = lanes_new(context);
    if (!open_sockets(n, context, o, e)) {
        net_close(n);
        return NULL;
    }
    n->control_transport = endpoint_transport(n->control_endpoint);
    n->ingress_transport = endpoint_transport(n->ingress_endpoint);
    if (endpoint_is_exposed(o->listen))
        log_write(LOG_WARN, "net",
                  "listening on %s WITHOUT authentication (insecure: true): whoever reaches it may do "
                  "everything; keep strangers out by a NetworkPolicy",
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
    lanes_free(n->lanes);
    ipc_lock_release(&n->control_lock);
    ipc_lock_release(&n->ingress_lock);
    free(n);
}

const char *net_control_endpoint(const struct net *n)
{
    return n->control_endpoint;
}

const char *net_ingress_endpoint(const struct net *n)
{
    return n->ingress_endpoint;
}

bool net_wait(struct net *n, int64_t timeout_ms, int stop_fd)
{
    zmq_pollitem_t items[] = {
        { n->control, 0, ZMQ_POLLIN, 0 },
        { n->ingress, 0, ZMQ_POLLIN, 0 },
        { NULL, stop_fd, ZMQ_POLLIN, 0 },
    };
    zmq_poll(items, stop_fd >= 0 ? 3 : 2, (long)timeout_ms);
    return stop_fd >= 0 && (items[2].revents & ZMQ_POLLIN);
}

/* ------------------------------------------------------------------ in */

static void name_peer(enum transport transport, zmq_msg_t *m, char peer[PEER_MAX_SIZE])
{
    const char *address = transport == TRANSPORT_INPROC ? NULL : zmq_msg_gets(m, "Peer-Address");
    peer_name(transport, address, peer, PEER_MAX_SIZE);
}

static bool receive_frame(struct net *n, struct core *core, struct now now)
{
    zmq_msg_t m;
    char peer[PEER_MAX_SIZE];
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, n->ingress, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&m);
        return false;
    }
    name_peer(n->ingress_transport, &m, peer);
    core_frame(core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), peer, now);
    zmq_msg_close(&m); /* at once: holding it would pin libzmq's whole receive buffer */
    return true;
}

/* Takes the parts of one message; only [route, request] has a meaning. */
static bool receive_control(struct net *n, struct core *core, struct now now)
{
    struct route route = { .size = 0 };
    zmq_msg_t m;
    char peer[PEER_MAX_SIZE];
    for (unsigned part = 0;; part++) {
        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, n->control, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&m);
            return false;
        }
        bool more = zmq_msg_more(&m);
        if (part == 0 && zmq_msg_size(&m) <= sizeof route.id) {
            route.size = (uint8_t)zmq_msg_size(&m);
            memcpy(route.id, zmq_msg_data(&m), route.size);
        } else if (part == 1 && !more && route.size) {
            name_peer(n->control_transport, &m, peer);
            core_control(core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), &route, peer, now);
        }
        zmq_msg_close(&m);
        if (!more)
            return true;
    }
}

bool net_receive(struct net *n, struct core *core, struct now now, size_t budget)
{
    size_t left = budget;
    while (left && receive_control(n, core, now))
        left--;
    bool more = left == 0;
    left = budget;
    while (left && receive_frame(n, core, now))
        left--;
    return more || left == 0;
}

/* ------------------------------------------------------------------ out */

static void reply(struct net *n, const struct effect *e)
{
    if (zmq_send(n->control, e->route.id, e->route.size, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return; /* gone, or does not read: it asks again */
    zmq_send(n->control, e->bytes.data, e->bytes.size, ZMQ_DONTWAIT);
}

static void open_lane(struct net *n, struct core *core, const struct effect *e, struct now now)
{
    const char *why = "";
    if (!lanes_open(n->lanes, e->lane, e->endpoint, &why))
        core_lane_failed(core, e->lane, why, now);
}

void net_perform(struct net *n, struct core *core, struct now now)
{
    size_t count, done = 0;
    struct effect *effects = core_effects(core, &count);
    while (done < count) {
        struct effect e = effects[done];
        effects[done++].frame = NULL; /* ours to send */
        switch (e.kind) {
        case EFFECT_SEND: lanes_send(n->lanes, e.lane, e.frame); break;
        case EFFECT_LANE_OPEN:
            open_lane(n, core, &e, now);
            effects = core_effects(core, &count); /* it may have added some */
            break;
        case EFFECT_LANE_CLOSE: lanes_close(n->lanes, e.lane); break;
        case EFFECT_REPLY: reply(n, &e); break;
        case EFFECT_LOG: log_about(e.level, "core", e.queue, e.session, "%s", e.text); break;
        }
    }
    core_effects_clear(core);
}
