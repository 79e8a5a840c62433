/* Control, ingress, lanes. Every PULL has RCVHWM 0 and is always drained: at its high-water mark libzmq can abort the
 * process when a peer that uses ZMTP heartbeats dies (libzmq #3937). Memory is bounded by the sessions' windows. */
#include "broker/net/net.h"

#include "base/curve.h"
#include "base/ipc_lock.h"
#include "base/xalloc.h"
#include "base/zap.h"
#include "broker/net/endpoints.h"
#include "broker/net/lanes.h"
#include "broker/net/replies.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define CONTROL_MAX_SIZE (1 << 20)
#define CONTROL_HWM      1000
#define HANDSHAKE_MS     2000
#define TURN_ANSWERS     (8u << 20) /* bytes of answers to calls from which on no more are taken in a turn */
#define BACKLOG          1024       /* libzmq's 100 makes a storm of reconnects wait for SYNs sent again */
#define ENDPOINT_SIZE    256
#define DOMAIN           "sluice" /* of control and ingress; a lane's is its number */
/* libzmq lets go of an endpoint a moment after the close that freed it. */
#define REBIND_TRY_MS 5
#define REBIND_SAY_MS 5000

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
    mono_t rebind_since, rebind_said;
    /* A ZMQ_FD says once that something came, and whoever reads or sends on the socket takes the word away: so a socket
     * is read until it is empty, and again after it was sent on. In between it is left alone: each look at an idle one
     * would cost system calls. */
    int control_fd, ingress_fd, zap_fd;
    bool control_more, ingress_more, zap_more;
};

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
    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, DOMAIN, sizeof DOMAIN - 1);
    /* Only when asked: with it every IPv4 peer would show as ::ffff:A.B.C.D. */
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
}

static bool refuse_bind(const char *endpoint, struct error *e)
{
    if (zmq_errno() == EADDRINUSE)
        return error_set(e, "%s is in use: another process listens there; stop it or choose another port", endpoint);
    if (zmq_errno() == ENODEV)
        return error_set(e, "cannot listen on %s: that is no address, name or interface of this machine", endpoint);
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

static void *open_ingress(struct net *n, const char *endpoint)
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
    n->ingress = open_ingress(n, o->ingress ? o->ingress : o->listen);
    if (!n->control || !n->ingress)
        return error_set(e, "cannot create sockets: %s", zmq_strerror(zmq_errno()));
    set_common(n, n->control, o->listen, CONTROL_MAX_SIZE);
    set(n->control, ZMQ_ROUTER_MANDATORY, 1);
    set(n->control, ZMQ_SNDHWM, CONTROL_HWM);
    if (!endpoint_check_listen(o->listen, o->insecure || n->has_keys, e) || !own_path(&n->control_lock, o->listen, e) ||
        !bind_socket(n->control, o->listen, n->control_endpoint, e))
        return false;
    if (o->ingress)
        snprintf(ingress, sizeof ingress, "%s", o->ingress);
    else
        endpoint_ingress(o->listen, ingress, sizeof ingress);
    return endpoint_check_listen(ingress, o->insecure || n->has_keys, e) && own_path(&n->ingress_lock, ingress, e) &&
           bind_socket(n->ingress, ingress, n->ingress_endpoint, e);
}

static int fd_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

static bool read_keys(struct net *n, const struct net_options *o, struct error *e)
{
    if (!o->secret_key_file != !o->clients)
        return error_set(e, "'curve.secret_key_file' and 'curve.clients' go together: set both or none");
    if (!o->secret_key_file)
        return true;
    n->clients_path = xstrdup(o->clients);
    n->has_keys = curve_read_secret(o->secret_key_file, &n->keys, e) && curve_read_set(o->clients, &n->clients, e);
    if (n->has_keys && n->clients.count == 0)
        log_write(LOG_WARN, "net", "%s holds no keys: nobody can attach until there are some (SIGHUP reads them again)",
                  o->clients);
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
    n->control_fd = fd_of(n->control);
    n->ingress_fd = fd_of(n->ingress);
    n->zap_fd = n->zap ? fd_of(n->zap) : -1;
    n->control_more = n->ingress_more = true;
    n->zap_more = n->zap != NULL;
    if (endpoint_is_exposed(o->listen) && !n->has_keys)
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

const char *net_control_endpoint(const struct net *n)
{
    return n->control_endpoint;
}

const char *net_ingress_endpoint(const struct net *n)
{
    return n->ingress_endpoint;
}

bool net_wait(struct net *n, int64_t timeout_ms, int stop_fd, int disk_fd)
{
    struct pollfd fds[] = {
        /* a negative descriptor is passed over */
        { .fd = n->control_fd, .events = POLLIN }, { .fd = n->ingress_fd, .events = POLLIN },
        { .fd = n->zap_fd, .events = POLLIN },     { .fd = stop_fd, .events = POLLIN },
        { .fd = disk_fd, .events = POLLIN },
    };
    if (n->control_more || n->ingress_more || n->zap_more)
        timeout_ms = 0;
    else if (!n->ingress && (timeout_ms < 0 || timeout_ms > REBIND_TRY_MS))
        timeout_ms = REBIND_TRY_MS;
    if (poll(fds, sizeof fds / sizeof *fds, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms) <= 0)
        return false;
    n->control_more |= fds[0].revents != 0;
    n->ingress_more |= fds[1].revents != 0;
    n->zap_more |= fds[2].revents != 0;
    return fds[3].revents != 0;
}

/* ------------------------------------------------------------------ the ingress, bound again */

/* Drops every connection of the ingress with all that libzmq holds of them; clients connect again by themselves. */
static void close_ingress(struct net *n, mono_t now)
{
    if (!n->ingress)
        return;
    zmq_close(n->ingress);
    n->ingress = NULL;
    n->ingress_fd = -1;
    n->ingress_more = false;
    n->rebind_since = n->rebind_said = now;
}

/* The closed one unlinks its ipc path when it is really gone: bound before that, the new path would vanish. */
static bool is_free(const struct net *n)
{
    return n->ingress_transport != TRANSPORT_IPC || access(n->ingress_endpoint + 6, F_OK) != 0;
}

static void try_rebind(struct net *n, mono_t now)
{
    struct error e = { "it is still there" };
    char bound[ENDPOINT_SIZE];
    void *socket = is_free(n) ? open_ingress(n, n->ingress_endpoint) : NULL;
    if (socket && bind_socket(socket, n->ingress_endpoint, bound, &e)) {
        n->ingress = socket;
        n->ingress_fd = fd_of(socket);
        n->ingress_more = true;
        malloc_trim(0); /* what the flood took goes back to the system */
        log_write(LOG_INFO, "net", "the ingress %s is bound again after %lld ms", n->ingress_endpoint,
                  (long long)mono_since_ms(now, n->rebind_since));
        return;
    }
    if (socket)
        zmq_close(socket);
    if (mono_since_ms(now, n->rebind_said) >= REBIND_SAY_MS) {
        n->rebind_said = now;
        log_write(LOG_ERROR, "net", "cannot bind the ingress %s again, trying on: %s", n->ingress_endpoint, e.text);
    }
}

/* ------------------------------------------------------------------ in */

/* Who sent it: what the handshake was answered with; valid as long as the message. */
static const char *peer_of(enum transport transport, zmq_msg_t *m)
{
    const char *peer = transport == TRANSPORT_INPROC ? "inproc" : zmq_msg_gets(m, "User-Id");
    return peer ? peer : "?";
}

/* The name of the other side; false when its key is none of the clients'. */
static bool name_handshake(const struct net *n, const struct zap_request *r, char peer[PEER_MAX_SIZE])
{
    char key[CURVE_KEY_SIZE];
    if (!r->has_key) {
        peer_name(peer_transport(r->address), r->address, peer, PEER_MAX_SIZE);
        return true;
    }
    curve_key_text(r->key, key);
    peer_key_name(key, r->address, peer, PEER_MAX_SIZE);
    if (curve_set_has(&n->clients, key))
        return true;
    log_write(LOG_WARN, "net", "denied: the key %s of %s is not among curve.clients", key, r->address);
    return false;
}

/* A connection outlives the removal of its key. */
static bool is_client(void *ctx, const char *peer)
{
    const struct net *n = ctx;
    char key[CURVE_KEY_SIZE];
    return !peer_key(peer, key) || curve_set_has(&n->clients, key);
}

bool net_read_clients(struct net *n, struct core *core, struct now now, struct error *e)
{
    struct curve_set clients;
    if (!n->has_keys)
        return true;
    if (!curve_read_set(n->clients_path, &clients, e))
        return false;
    curve_set_free(&n->clients);
    n->clients = clients;
    core_revoke(core, is_client, n, now);
    return true;
}

/* A handshake of control, ingress or a lane. A lane's other side must be who attached: nobody can point the broker at
 * somebody else's inbox. */
static void judge_handshake(struct net *n, struct core *core, const struct zap_request *r, struct now now)
{
    char peer[PEER_MAX_SIZE], why[256];
    uint32_t lane = lanes_of_domain(r->domain);
    const char *expected = lane ? lanes_peer(n->lanes, lane) : NULL;
    bool known = name_handshake(n, r, peer);
    bool admitted = lane ? expected && strcmp(expected, peer) == 0 : known && core_admits(core, peer, now);
    zap_answer(n->zap, r, admitted ? peer : NULL);
    if (lane && expected && !admitted) {
        snprintf(why, sizeof why, "the inbox belongs to %s, and the attach came from %s", peer, expected);
        core_lane_failed(core, lane, REASON_denied, why, now);
    }
}

static bool receive_frame(struct net *n, struct core *core, struct now now)
{
    zmq_msg_t m;
    zmq_msg_init(&m);
    if (zmq_msg_recv(&m, n->ingress, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&m);
        return false;
    }
    core_frame(core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), peer_of(n->ingress_transport, &m), now);
    zmq_msg_close(&m); /* at once: holding it would pin libzmq's whole receive buffer */
    return true;
}

/* Takes the parts of one message; only [route, request] has a meaning. */
static bool receive_control(struct net *n, struct core *core, struct now now)
{
    struct route route = { .size = 0 };
    zmq_msg_t m;
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
        } else if (part == 1 && !more && route.size && is_client(n, peer_of(n->control_transport, &m))) {
            core_control(core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), &route, peer_of(n->control_transport, &m),
                         now);
        } else if (part > 0) {
            core_refused(core, zmq_msg_size(&m), peer_of(n->control_transport, &m), now);
        }
        zmq_msg_close(&m);
        if (!more)
            return true;
    }
}

static bool receive_handshake(struct net *n, struct core *core, struct now now)
{
    struct zap_request handshake;
    if (!zap_receive(n->zap, &handshake))
        return false;
    judge_handshake(n, core, &handshake, now);
    return true;
}

typedef bool receive_fn(struct net *n, struct core *core, struct now now);

/* False when the socket is empty. */
static bool drain(struct net *n, struct core *core, struct now now, size_t budget, receive_fn *receive)
{
    while (budget && receive(n, core, now))
        budget--;
    return budget == 0;
}

/* The same of calls. A short one may have an answer of megabytes, and answers leave at the end of the turn. */
static bool drain_calls(struct net *n, struct core *core, struct now now, size_t budget)
{
    uint64_t bytes = 0;
    size_t count, seen = 0;
    for (; budget && bytes < TURN_ANSWERS; budget--) {
        if (!receive_control(n, core, now))
            return false;
        for (const struct effect *effects = core_effects(core, &count); seen < count; seen++)
            bytes += effects[seen].bytes.size;
    }
    return true;
}

bool net_receive(struct net *n, struct core *core, struct now now, size_t budget)
{
    if (n->zap_more)
        n->zap_more = drain(n, core, now, budget, receive_handshake);
    if (n->control_more)
        n->control_more = drain_calls(n, core, now, budget);
    if (!n->ingress)
        try_rebind(n, now.mono);
    if (n->ingress_more)
        n->ingress_more = drain(n, core, now, budget, receive_frame);
    return n->control_more || n->ingress_more || n->zap_more;
}

/* ------------------------------------------------------------------ out */

static void reply(struct net *n, const struct effect *e)
{
    n->control_more = true;
    replies_send(n->replies, n->control, &e->route, buf_span(&e->bytes));
}

static void open_lane(struct net *n, struct core *core, const struct effect *e, struct now now)
{
    const char *why = "";
    if (!lanes_open(n->lanes, e->lane, e->endpoint, e->peer, &why))
        core_lane_failed(core, e->lane, REASON_inbox_unreachable, why, now);
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
        case EFFECT_INGRESS_REBIND: close_ingress(n, now.mono); break;
        case EFFECT_REPLY: reply(n, &e); break;
        case EFFECT_LOG: log_text(e.level, "core", e.queue, e.session, e.message, e.text); break;
        }
    }
    core_effects_clear(core);
}
