/* RabbitMQ, through librabbitmq: publisher confirms, manual acks of many messages at a time, and a prefetch. mode:
 * transient, durable or quorum. */
#include "tests/bench/load/load.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define CHANNEL   1
#define PREFETCH  2000
#define ACK_EVERY 200
#define RING      65536u

struct adapter {
    struct load *load;
    const struct load_options *o;
    amqp_connection_state_t amqp;
    bool durable, consumer;
    uint64_t published, lowest; /* lowest: the first tag that may be unconfirmed; AMQP's tags begin with 1 */
    bool *open;                 /* by tag: not confirmed */
    uint64_t newest, acked;     /* delivery tags */
};

static bool fine(struct adapter *a, const char *what)
{
    amqp_rpc_reply_t r = amqp_get_rpc_reply(a->amqp);
    return r.reply_type == AMQP_RESPONSE_NORMAL || load_failed(a->load, "rabbitmq: %s failed", what);
}

static bool log_in(struct adapter *a)
{
    char host[64];
    int port = load_port(a->o->address, host);
    amqp_socket_t *socket = amqp_tcp_socket_new(a->amqp);
    if (!socket || amqp_socket_open(socket, host, port) != AMQP_STATUS_OK)
        return load_failed(a->load, "cannot connect to %s", a->o->address);
    amqp_rpc_reply_t r = amqp_login(a->amqp, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        return load_failed(a->load, "rabbitmq: the login failed");
    amqp_channel_open(a->amqp, CHANNEL);
    return fine(a, "opening a channel");
}

static bool declare(struct adapter *a)
{
    amqp_table_entry_t entry = { .key = amqp_cstring_bytes("x-queue-type"),
                                 .value = { .kind = AMQP_FIELD_KIND_UTF8,
                                            .value.bytes = amqp_cstring_bytes("quorum") } };
    amqp_table_t quorum = { .num_entries = 1, .entries = &entry };
    amqp_queue_declare(a->amqp, CHANNEL, amqp_cstring_bytes(a->o->queue), 0, a->durable, 0, 0,
                       strcmp(a->o->mode, "quorum") == 0 ? quorum : amqp_empty_table);
    return fine(a, "declaring the queue");
}

static bool want_confirms(struct adapter *a)
{
    amqp_confirm_select(a->amqp, CHANNEL);
    return fine(a, "asking for confirms");
}

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    struct adapter *a = calloc(1, sizeof *a);
    *a = (struct adapter){ .load = l, .o = o, .consumer = consumer, .amqp = amqp_new_connection() };
    a->durable = strcmp(o->mode, "transient") != 0;
    a->open = calloc(RING, sizeof *a->open);
    if (log_in(a) && (consumer ? declare(a) : want_confirms(a)))
        return a;
    adapter_close(a);
    return NULL;
}

bool adapter_consume(struct adapter *a)
{
    amqp_basic_qos(a->amqp, CHANNEL, 0, PREFETCH, 0);
    if (!fine(a, "setting the prefetch"))
        return false;
    amqp_basic_consume(a->amqp, CHANNEL, amqp_cstring_bytes(a->o->queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    return fine(a, "consuming");
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    amqp_basic_properties_t properties = { ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                           .delivery_mode = a->durable ? 2 : 1 };
    amqp_bytes_t body = { .len = a->o->size, .bytes = (void *)(uintptr_t)data };
    a->open[tag % RING] = true;
    a->published = tag + 1;
    return amqp_basic_publish(a->amqp, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(a->o->queue), 0, 0, &properties,
                              body) == AMQP_STATUS_OK;
}

static void confirm(struct adapter *a, uint64_t tag)
{
    if (a->open[tag % RING]) {
        a->open[tag % RING] = false;
        load_confirmed(a->load, tag);
    }
}

static void confirm_to(struct adapter *a, const amqp_basic_ack_t *ack)
{
    uint64_t tag = ack->delivery_tag - 1;
    if (ack->multiple) {
        for (; a->lowest <= tag; a->lowest++)
            confirm(a, a->lowest);
    } else {
        confirm(a, tag);
    }
}

/* Reads one frame if one has arrived. Returns AMQP_STATUS_OK, AMQP_STATUS_TIMEOUT, or an error. */
static int take_confirm(struct adapter *a)
{
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(a->amqp, &frame, &(struct timeval){ 0 });
    if (status != AMQP_STATUS_OK)
        return status;
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        return load_failed(a->load, "rabbitmq: something else than a confirm came"), AMQP_STATUS_UNEXPECTED_STATE;
    confirm_to(a, frame.payload.method.decoded);
    amqp_maybe_release_buffers(a->amqp);
    return status;
}

static bool ack(struct adapter *a)
{
    bool sent = a->acked == a->newest || amqp_basic_ack(a->amqp, CHANNEL, a->newest, 1) == AMQP_STATUS_OK;
    a->acked = a->newest;
    return sent;
}

static int take_delivery(struct adapter *a)
{
    amqp_envelope_t envelope;
    amqp_maybe_release_buffers(a->amqp);
    amqp_rpc_reply_t r = amqp_consume_message(a->amqp, &envelope, &(struct timeval){ 0 }, 0);
    if (r.reply_type != AMQP_RESPONSE_NORMAL)
        return r.library_error;
    load_delivered(a->load, envelope.message.body.bytes, envelope.message.body.len);
    a->newest = envelope.delivery_tag;
    amqp_destroy_envelope(&envelope);
    return a->newest - a->acked < ACK_EVERY || ack(a) ? AMQP_STATUS_OK : AMQP_STATUS_SOCKET_ERROR;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    int status;
    if (!amqp_frames_enqueued(a->amqp) && !amqp_data_in_buffer(a->amqp) &&
        !load_poll(amqp_get_sockfd(a->amqp), false, until))
        return true;
    do {
        status = a->consumer ? take_delivery(a) : take_confirm(a);
    } while (status == AMQP_STATUS_OK);
    return status == AMQP_STATUS_TIMEOUT && (!a->consumer || ack(a));
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    amqp_connection_close(a->amqp, AMQP_REPLY_SUCCESS); /* the server answers after it has read the acks */
    amqp_destroy_connection(a->amqp);
    free(a->open);
    free(a);
}
