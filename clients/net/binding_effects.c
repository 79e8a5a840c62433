/* The client's handler: effects carried out on the sockets, and events passed on to the binding's owner. */
#include "clients/net/binding_priv.h"

#include "base/xalloc.h"
#include "clients/net/inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

/* From this size on libzmq sends from our buffer; smaller messages it would copy anyway. */
#define ZERO_COPY_SIZE 8192u

/* ------------------------------------------------------------------ effects */

/* Keeps the socket, so that its descriptor stays valid for the owner's poll. Disconnecting drops what it still
 * holds. */
static void control_open(void *ctx)
{
    struct binding *b = ctx;
    if (b->connected)
        zmq_disconnect(b->control, b->broker);
    b->connected = zmq_connect(b->control, b->broker) == 0;
    b->control_more = true;
}

static void control_send(void *ctx, struct span message)
{
    struct binding *b = ctx;
    zmq_send(b->control, message.data, message.size, ZMQ_DONTWAIT); /* if lost, it is repeated under the same id */
    b->control_more = true;
}

/* Replaces the host in tcp://[*]:PORT by the control endpoint's. */
static char *ingress_endpoint(const char *broker, const char *endpoint)
{
    if (!address_is(endpoint, "tcp://*:") || !address_is(broker, "tcp://"))
        return xstrdup(endpoint);
    int host = (int)(strrchr(broker, ':') - broker);
    char *full = xmalloc(strlen(broker) + strlen(endpoint));
    sprintf(full, "%.*s%s", host, broker, strrchr(endpoint, ':'));
    return full;
}

static void ingress_open(void *ctx, const char *endpoint)
{
    struct binding *b = ctx;
    char *full = ingress_endpoint(b->broker, endpoint);
    if (b->ingress)
        zmq_close(b->ingress);
    b->ingress = binding_socket(b, ZMQ_PUSH);
    if (b->ingress && zmq_connect(b->ingress, full) != 0) {
        zmq_close(b->ingress); /* the attach will time out and report it */
        b->ingress = NULL;
    }
    free(full);
}

/* Runs on libzmq's I/O thread; the frame's reference count is atomic. */
static void let_go(void *data, void *frame)
{
    (void)data;
    frame_drop(frame);
}

static void ingress_send(void *ctx, struct frame *f)
{
    struct binding *b = ctx;
    zmq_msg_t m;
    if (!b->ingress) {
        frame_drop(f);
        return;
    }
    traffic_add(&b->traffic, f->size);
    if (f->size >= ZERO_COPY_SIZE) {
        zmq_msg_init_data(&m, f->data, f->size, let_go, f);
    } else {
        zmq_msg_init_size(&m, f->size);
        memcpy(zmq_msg_data(&m), f->data, f->size);
        frame_drop(f);
    }
    if (zmq_msg_send(&m, b->ingress, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&m);
}

/* ------------------------------------------------------------------ events, passed on */

static void attached(void *ctx, bool resumed)
{
    struct binding *b = ctx;
    if (b->user.attached)
        b->user.attached(b->ctx, resumed);
}

static void away(void *ctx, const char *why)
{
    struct binding *b = ctx;
    if (b->user.away)
        b->user.away(b->ctx, why);
}

static void outcome(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o)
{
    struct binding *b = ctx;
    if (b->user.outcome)
        b->user.outcome(b->ctx, cookie, index, count, o);
}

static void turn(void *ctx, const char *queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                 enum reason reason)
{
    struct binding *b = ctx;
    if (b->user.turn)
        b->user.turn(b->ctx, queue, state, consumer_epoch, contended, reason);
}

static void delivery(void *ctx, const struct client_delivery *d)
{
    struct binding *b = ctx;
    if (b->user.delivery)
        b->user.delivery(b->ctx, d);
}

static void idle(void *ctx, const char *queue, uint64_t generation)
{
    struct binding *b = ctx;
    if (b->user.idle)
        b->user.idle(b->ctx, queue, generation);
}

static void settled(void *ctx, const char *queue, uint64_t consumer_epoch, uint64_t first, uint64_t count,
                    enum settle_result result)
{
    struct binding *b = ctx;
    if (b->user.settled)
        b->user.settled(b->ctx, queue, consumer_epoch, first, count, result);
}

static void receipt_settled(void *ctx, uint64_t request, enum settle_result result)
{
    struct binding *b = ctx;
    if (b->user.receipt_settled)
        b->user.receipt_settled(b->ctx, request, result);
}

static void replied(void *ctx, void *cookie, const struct reply *reply)
{
    struct binding *b = ctx;
    if (b->user.replied)
        b->user.replied(b->ctx, cookie, reply);
}

const struct client_handler binding_effects = {
    .control_open = control_open,
    .control_send = control_send,
    .ingress_open = ingress_open,
    .ingress_send = ingress_send,
    .attached = attached,
    .away = away,
    .outcome = outcome,
    .turn = turn,
    .delivery = delivery,
    .idle = idle,
    .settled = settled,
    .receipt_settled = receipt_settled,
    .replied = replied,
};
