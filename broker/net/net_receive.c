/* Receives frames, calls and handshakes, and feeds them to the core. */
#include "base/zap.h"
#include "broker/net/net_state.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define TURN_ANSWERS (8u << 20) /* bytes of replies after which no more calls are taken in a turn */

/* The sender's name, with which its handshake was answered; valid as long as the message. */
static const char *peer_of(enum transport transport, zmq_msg_t *m)
{
    const char *peer = transport == TRANSPORT_INPROC ? "inproc" : zmq_msg_gets(m, "User-Id");
    return peer ? peer : "?";
}

/* Writes the other side's name. False: its key is not among the clients'. */
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

/* Is the peer's key still admitted? Checked for each call, because a connection outlives the removal of its key. */
static bool is_client(void *ctx, const char *peer)
{
    const struct net *n = ctx;
    char key[CURVE_KEY_SIZE];
    return !peer_key(peer, key) || curve_set_has(&n->clients, key);
}

bool net_reload_clients(struct net *n, struct core *core, struct now now, struct error *e)
{
    struct curve_set clients;
    if (!n->has_keys)
        return true;
    if (!curve_read_set(n->clients_path, &clients, e))
        return false;
    curve_set_free(&n->clients);
    n->clients = clients;
    net_warn_if_no_keys(n);
    core_revoke(core, is_client, n, now);
    return true;
}

/* Answers a handshake of control, ingress or a lane. The other side of a lane must be the peer that attached:
 * otherwise anybody could point the broker at somebody else's inbox. */
static void answer_handshake(struct net *n, struct core *core, const struct zap_request *r, struct now now)
{
    char peer[PEER_MAX_SIZE], why[256];
    uint32_t lane = lanes_of_domain(r->domain);
    const char *expected = lane ? lanes_peer(n->lanes, lane) : NULL;
    bool known = name_handshake(n, r, peer);
    bool admitted = lane ? expected && strcmp(expected, peer) == 0 : known && core_admits(core, peer, now);
    zap_answer(n->zap, r, admitted ? peer : NULL);
    if (lane && expected && !admitted) {
        snprintf(why, sizeof why, "the inbox belongs to %s, but the attach came from %s", peer, expected);
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
    traffic_add(&n->traffic, zmq_msg_size(&m));
    core_frame(core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), peer_of(n->ingress_transport, &m), now);
    zmq_msg_close(&m); /* at once: holding it would pin libzmq's whole receive buffer */
    return true;
}

/* Receives one message, all its parts. Only [route, request] is valid. */
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
    answer_handshake(n, core, &handshake, now);
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

/* The same for calls. Also bounds the bytes of their replies: a short call may have a reply of megabytes, and replies
 * leave only at the end of the turn. */
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
        net_rebind_try(n, now.mono);
    if (n->ingress_more)
        n->ingress_more = drain(n, core, now, budget, receive_frame);
    return n->control_more || n->ingress_more || n->zap_more;
}
