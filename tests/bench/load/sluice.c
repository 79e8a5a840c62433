/* Sluice, through libsluice, whose thread calls back. mode: unused; the broker's configuration decides the queue's
 * durability. */
#include "tests/bench/load/load.h"

#include <sluice.h>
#include <stdlib.h>

#define WAIT_MS 30000
#define CREDIT  8192

struct adapter {
    struct load *load;
    const struct load_options *o;
    struct sluice *connection;
    struct sluice_sub *sub;
    uint64_t confirmed;
};

struct adapter *adapter_open(struct load *l, const struct load_options *o, bool consumer)
{
    char error[256];
    struct adapter *a = calloc(1, sizeof *a);
    struct sluice_options options = { .name = consumer ? "consumer" : "producer",
                                      .buffer_bytes = 2 * o->window * (o->size + 1024) + (1u << 20) };
    *a = (struct adapter){ .load = l, .o = o, .connection = sluice_connect(o->address, &options, error) };
    if (a->connection)
        return a;
    load_failed(l, "%s", error);
    free(a);
    return NULL;
}

static bool on_event(void *context, const struct sluice_delivery *d)
{
    struct adapter *a = context;
    load_delivered(a->load, d->data, d->size);
    return true;
}

bool adapter_consume(struct adapter *a)
{
    a->sub = sluice_subscribe(a->connection, a->o->queue, CREDIT, on_event, a);
    return a->sub != NULL;
}

/* Without refusals, a producer's confirms arrive in the order of its events. */
static void on_confirm(void *context, int error, uint64_t sequence)
{
    struct adapter *a = context;
    (void)sequence;
    if (error)
        load_failed(a->load, "not published: %s", sluice_strerror(error));
    else
        load_confirmed(a->load, a->confirmed++);
}

bool adapter_publish(struct adapter *a, uint64_t tag, const void *data)
{
    struct sluice_event event = { .data = data, .size = a->o->size };
    (void)tag;
    return sluice_publish(a->connection, a->o->queue, &event, WAIT_MS, on_confirm, a) == SLUICE_OK;
}

bool adapter_turn(struct adapter *a, int64_t until)
{
    (void)a;
    return load_sleep(until);
}

void adapter_close(struct adapter *a)
{
    if (!a)
        return;
    sluice_unsubscribe(a->sub);
    sluice_close(a->connection, 1000);
    free(a);
}
