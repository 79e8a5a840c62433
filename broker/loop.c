#include "broker/loop.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/incarnation.h"
#include "broker/net/endpoints.h"
#include "broker/net/net.h"

#include <sodium.h>
#include <stdlib.h>

/* Messages taken from each socket in one turn: enough to batch well, too few to starve timers. */
#define TURN_MESSAGES 256u
/* How long the last frames and the Bye may take to leave. */
#define FAREWELL_MS 200

struct broker {
    struct store *store;
    struct core *core;
    struct net *net;
};

static void configure(const struct broker_options *o, struct core_config *c)
{
    core_config_defaults(c);
    randombytes_buf(c->seed, sizeof c->seed);
    c->memory_budget = o->memory_budget ? o->memory_budget : broker_memory_budget();
    c->max_queues = (uint32_t)o->max_queues;
    c->max_sessions = (uint32_t)o->max_sessions;
    c->max_event = (uint32_t)o->max_event;
    c->auto_declare = o->auto_declare;
    c->heartbeat_ms = o->heartbeat;
    c->session_timeout_ms = o->session_timeout;
    c->version = SLUICE_VERSION;
}

void broker_declare(struct broker *b, const struct broker_options *o)
{
    for (const struct declared_queue *q = o->queues; q; q = q->next) {
        struct error e = { "" };
        if (!core_configure_queue(b->core, q->name, &q->settings, &e, clock_now()))
            log_about(LOG_ERROR, "config", q->name, NULL, "not declared as configured: %s", e.text);
    }
}

struct broker *broker_open(void *context, const struct broker_options *o, struct error *e)
{
    struct core_config config;
    struct net_options sockets = { o->listen, o->ingress, o->insecure, (uint32_t)o->max_sessions };
    char ingress[256];
    if (sodium_init() < 0) {
        error_set(e, "no randomness from the system");
        return NULL;
    }
    configure(o, &config);
    struct broker *b = xcalloc(1, sizeof *b);
    b->net = net_open(context, &sockets, e);
    if (!b->net || !incarnation_raise(o->data, &config.incarnation, e)) {
        net_close(b->net);
        free(b);
        return NULL;
    }
    b->store = store_memory_open();
    b->core = core_new(&config, b->store, clock_now());
    endpoint_advertise(net_ingress_endpoint(b->net), ingress, sizeof ingress);
    core_set_ingress(b->core, ingress);
    broker_declare(b, o);
    return b;
}

/* One turn: take what arrived, let time pass, seal what was produced, carry it out. Confirms leave in net_perform and
 * nowhere else: whatever must be durable first goes before it. */
static bool turn(struct broker *b)
{
    struct now now = clock_now();
    bool more = net_receive(b->net, b->core, now, TURN_MESSAGES);
    core_tick(b->core, now);
    core_flush(b->core, now);
    net_perform(b->net, b->core, now);
    return more;
}

void broker_run(struct broker *b, int stop_fd)
{
    bool stop = false;
    while (!stop) {
        bool more = turn(b);
        stop = net_wait(b->net, more ? 0 : mono_wait_ms(core_due(b->core), clock_now().mono), stop_fd);
    }
}

void broker_stop(struct broker *b)
{
    core_stop(b->core, clock_now());
    mono_t end = mono_add_ms(clock_now().mono, FAREWELL_MS);
    while (mono_before(clock_now().mono, end)) {
        turn(b);
        net_wait(b->net, mono_wait_ms(end, clock_now().mono), -1);
    }
}

static void log_ledger(const struct broker *b)
{
    struct broker_info i;
    core_info(b->core, &i, clock_now());
    log_write(LOG_INFO, "broker",
              "ledger: accepted %llu = acked %llu + dead_lettered %llu + expired %llu + purged %llu + dropped %llu + "
              "remaining %llu",
              (unsigned long long)i.ledger.accepted, (unsigned long long)i.ledger.acked,
              (unsigned long long)i.ledger.dead_lettered, (unsigned long long)i.ledger.expired,
              (unsigned long long)i.ledger.purged, (unsigned long long)i.ledger.dropped,
              (unsigned long long)i.ledger.remaining);
}

void broker_close(struct broker *b)
{
    log_ledger(b);
    core_free(b->core);
    b->store->ops->close(b->store);
    net_close(b->net);
    free(b);
}

const char *broker_endpoint(const struct broker *b)
{
    return net_control_endpoint(b->net);
}

const char *broker_ingress(const struct broker *b)
{
    return net_ingress_endpoint(b->net);
}
