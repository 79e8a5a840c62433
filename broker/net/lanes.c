#include "broker/net/lanes.h"

#include "base/xalloc.h"
#include "broker/net/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <zmq.h>

/* From this size on libzmq sends from our memory. It copies smaller messages into its batches anyway. */
#define ZERO_COPY_FROM 8192u
#define DOMAIN_PREFIX  "sluice.lane."
/* The largest message taken from an inbox: enough for a handshake. An inbox has nothing to send, and libzmq would
 * keep up to a thousand messages that nobody reads. */
#define MOST_HEARD 1024

struct lane {
    uint32_t number;
    void *socket;
    char *peer;
    UT_hash_handle hh;
};

struct lanes {
    void *context;
    const struct curve_keys *keys;
    struct lane *open;
};

struct lanes *lanes_new(void *context, const struct curve_keys *keys)
{
    struct lanes *l = xcalloc(1, sizeof *l);
    l->context = context;
    l->keys = keys;
    return l;
}

static void close_lane(struct lanes *l, struct lane *lane)
{
    HASH_DEL(l->open, lane);
    zmq_close(lane->socket);
    free(lane->peer);
    free(lane);
}

void lanes_free(struct lanes *l)
{
    struct lane *lane, *next;
    HASH_ITER (hh, l->open, lane, next)
        close_lane(l, lane);
    free(l);
}

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void set_domain(void *socket, uint32_t number)
{
    char domain[32];
    int size = snprintf(domain, sizeof domain, DOMAIN_PREFIX "%u", number);
    zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, (size_t)size);
}

uint32_t lanes_of_domain(const char *domain)
{
    size_t prefix = sizeof DOMAIN_PREFIX - 1;
    return strncmp(domain, DOMAIN_PREFIX, prefix) == 0 ? (uint32_t)strtoul(domain + prefix, NULL, 10) : 0;
}

static struct lane *find(const struct lanes *l, uint32_t number)
{
    struct lane *lane = NULL;
    HASH_FIND_INT(l->open, &number, lane);
    return lane;
}

const char *lanes_peer(const struct lanes *l, uint32_t number)
{
    const struct lane *lane = find(l, number);
    return lane ? lane->peer : NULL;
}

bool lanes_open(struct lanes *l, uint32_t number, const char *endpoint, const char *peer, const char **why)
{
    char key[CURVE_KEY_SIZE];
    int64_t most = MOST_HEARD;
    void *socket = zmq_socket(l->context, ZMQ_PUSH);
    if (!socket) {
        *why = zmq_strerror(zmq_errno());
        return false;
    }
    set(socket, ZMQ_LINGER, 0);
    set(socket, ZMQ_SNDHWM, 0); /* unlimited: the link bounds what is outstanding */
    set(socket, ZMQ_TCP_KEEPALIVE, 1);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set(socket, ZMQ_RECONNECT_IVL, 100);
    set(socket, ZMQ_RECONNECT_IVL_MAX, 2000);
    set(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL);
    if (endpoint_transport(endpoint) == TRANSPORT_IPC)
        set_domain(socket, number);
    if (peer_key(peer, key))
        curve_join(socket, l->keys, key);
    if (zmq_connect(socket, endpoint) != 0) {
        *why = zmq_strerror(zmq_errno());
        zmq_close(socket);
        return false;
    }
    struct lane *lane = xcalloc(1, sizeof *lane);
    lane->number = number;
    lane->socket = socket;
    lane->peer = xstrdup(peer);
    HASH_ADD_INT(l->open, number, lane);
    return true;
}

void lanes_close(struct lanes *l, uint32_t number)
{
    struct lane *lane = find(l, number);
    if (lane)
        close_lane(l, lane);
}

static void release(void *data, void *frame)
{
    (void)data;
    frame_drop(frame); /* in libzmq's I/O thread */
}

void lanes_send(struct lanes *l, uint32_t number, struct frame *f)
{
    struct lane *lane = find(l, number);
    if (!lane) {
        frame_drop(f);
        return;
    }
    if (f->size < ZERO_COPY_FROM) {
        zmq_send(lane->socket, f->data, f->size, ZMQ_DONTWAIT);
        frame_drop(f);
        return;
    }
    zmq_msg_t m;
    zmq_msg_init_data(&m, f->data, f->size, release, f);
    if (zmq_msg_send(&m, lane->socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m); /* releases the frame */
}
