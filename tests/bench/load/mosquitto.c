/* Mosquitto, through libmosquitto: QoS 1 in both directions, a persistent session, and as many messages in flight as
 * the protocol has packet numbers for. The library acks a message when on_message returns. mode: unused. */
#include "tests/bench/load/load.h"

#include <mosquitto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define KEEPALIVE 60
#define PACKETS   64 /* per call of the library */
#define NUMBERS   65536

struct adapter {
    struct load *load;
    const struct load_options *o;
    struct mosquitto *m;
    uint64_t *tags; /* by packet number */
    bool connected, subscribed;
};

static void on_connect(struct mosquitto *m, void *context, int code)
{
    struct adapter *a = context;
    (void)m;
    a->connected = code == 0;
}

static void on_subscribe(struct mosquitto *m, void *context, int mid, int count, const int *granted)
{
    struct adapter *a = context;
    (void)m, (void)mid;
    a->subscribed = count == 1 && granted[0] == 1;
}

static void on_publish(struct mosquitto *m, void *context, int mid)
{
    struct adapter *a = context;
    (void)m;
    load_confirmed(a->load, a->tags[mid]);
}

static void on_message(struct mosquitto *m, void *context, const struct mosquitto_message *message)
{
    struct adapter *a = context;
    (void)m;
    load_delivered(a->load, message->payload, (size_t)message->payloadlen);
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    int ready = load_poll(mosquitto_socket(a->m), mosquitto_want_write(a->m), until);
    if (ready & POLLIN && mosquitto_loop_read(a->m, PACKETS) != MOSQ_ERR_SUCCESS)
        return false;
    if (mosquitto_want_write(a->m) && mosquitto_loop_write(a->m, PACKETS) != MOSQ_ERR_SUCCESS)
        return false;
    return mosquitto_loop_misc(a->m) == MOSQ_ERR_SUCCESS;
}

static bool wait_for(struct adapter *a, const bool *done)
{
    int64_t until = load_now() + 10000000000;
    while (!*done && load_now() < until && adapter_turn(a, until))
        continue;
    return *done || load_failed(a->load, "mosquitto: no answer");
}

static bool begin(struct adapter *a, bool consumer)
{
    char host[64];
    int port = load_port(a->o->address, host);
    mosquitto_connect_callback_set(a->m, on_connect);
    mosquitto_subscribe_callback_set(a->m, on_subscribe);
    mosquitto_publish_callback_set(a->m, on_publish);
    mosquitto_message_callback_set(a->m, on_message);
    mosquitto_max_inflight_messages_set(a->m, 0);
    mosquitto_int_option(a->m, MOSQ_OPT_TCP_NODELAY, 1);
    if (mosquitto_connect(a->m, host, port, KEEPALIVE) != MOSQ_ERR_SUCCESS)
        return load_failed(a->load, "cannot connect to %s", a->o->address);
    if (!wait_for(a, &a->connected))
        return false;
    if (!consumer)
        return true;
    mosquitto_subscribe(a->m, NULL, a->o->queue, 1);
    return wait_for(a, &a->subscribed);
}

/* The consumer's persistent session is the queue. */
struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    struct adapter *a = calloc(1, sizeof *a);
    mosquitto_lib_init();
    *a = (struct adapter){ .load = l, .o = o, .tags = calloc(NUMBERS, sizeof *a->tags) };
    a->m = mosquitto_new(consumer ? o->queue : NULL, !consumer, a);
    if (begin(a, consumer))
        return a;
    adapter_close(a);
    return NULL;
}

bool adapter_consume(struct adapter *a)
{
    return a->subscribed;
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    int mid = 0;
    bool sent = mosquitto_publish(a->m, &mid, a->o->queue, (int)a->o->size, data, 1, false) == MOSQ_ERR_SUCCESS;
    a->tags[mid % NUMBERS] = tag;
    return sent;
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    while (mosquitto_want_write(a->m) && adapter_turn(a, load_now()))
        continue;
    mosquitto_disconnect(a->m);
    mosquitto_destroy(a->m);
    free(a->tags);
    free(a);
}
