#include "tests/clients/c/test_broker.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/core/core.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#define LANES 64

struct test_broker {
    pthread_t thread;
    atomic_bool stop;
    void *zmq, *control, *ingress, *lanes[LANES];
    char endpoint[128];
    struct store *store;
    struct core *core;
};

static void *bind_free(struct test_broker *t, int type, char endpoint[128])
{
    size_t size = 128;
    int none = 0;
    void *s = zmq_socket(t->zmq, type);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_RCVHWM, &none, sizeof none);
    assert(zmq_bind(s, "tcp://127.0.0.1:*") == 0);
    zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, endpoint, &size);
    return s;
}

static void take_control(struct test_broker *t, struct now now)
{
    uint8_t id[32], message[65536];
    int size = zmq_recv(t->control, id, sizeof id, ZMQ_DONTWAIT);
    if (size < 0)
        return;
    struct route route = { .size = (uint8_t)size };
    memcpy(route.id, id, sizeof route.id);
    size = zmq_recv(t->control, message, sizeof message, 0);
    core_control(t->core, span_of(message, (size_t)size), &route, "ip:127.0.0.1", now);
}

static bool take_frame(struct test_broker *t, struct now now)
{
    zmq_msg_t m;
    zmq_msg_init(&m);
    bool got = zmq_msg_recv(&m, t->ingress, ZMQ_DONTWAIT) >= 0;
    if (got)
        core_frame(t->core, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), "ip:127.0.0.1", now);
    zmq_msg_close(&m);
    return got;
}

static void close_lane(struct test_broker *t, uint32_t lane)
{
    if (t->lanes[lane % LANES])
        zmq_close(t->lanes[lane % LANES]);
    t->lanes[lane % LANES] = NULL;
}

static void open_lane(struct test_broker *t, uint32_t lane, const char *endpoint)
{
    int none = 0;
    void *s = t->lanes[lane % LANES] = zmq_socket(t->zmq, ZMQ_PUSH);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(s, ZMQ_SNDHWM, &none, sizeof none);
    zmq_connect(s, endpoint);
}

static void perform(struct test_broker *t)
{
    size_t count;
    struct effect *effects = core_effects(t->core, &count);
    for (size_t i = 0; i < count; i++) {
        struct effect *e = &effects[i];
        if (e->kind == EFFECT_SEND && t->lanes[e->lane % LANES])
            zmq_send(t->lanes[e->lane % LANES], e->frame->data, e->frame->size, ZMQ_DONTWAIT);
        else if (e->kind == EFFECT_LANE_OPEN)
            open_lane(t, e->lane, e->endpoint);
        else if (e->kind == EFFECT_LANE_CLOSE)
            close_lane(t, e->lane);
        else if (e->kind == EFFECT_REPLY &&
                 zmq_send(t->control, e->route.id, e->route.size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0)
            zmq_send(t->control, e->bytes.data, e->bytes.size, ZMQ_DONTWAIT);
    }
    core_effects_clear(t->core);
}

static void *run(void *arg)
{
    struct test_broker *t = arg;
    while (!atomic_load(&t->stop)) {
        zmq_pollitem_t items[] = { { t->control, 0, ZMQ_POLLIN, 0 }, { t->ingress, 0, ZMQ_POLLIN, 0 } };
        int64_t wait = mono_wait_ms(core_due(t->core), clock_now().mono);
        zmq_poll(items, 2, wait < 0 || wait > 20 ? 20 : (long)wait);
        struct now now = clock_now();
        take_control(t, now);
        for (int i = 0; i < 256 && take_frame(t, now); i++)
            continue;
        core_tick(t->core, now);
        core_flush(t->core, now);
        perform(t);
    }
    return NULL;
}

static void configure(struct test_broker *t, const char *queue, enum queue_setting which, uint64_t value)
{
    struct queue_settings settings = { 0 };
    queue_settings_put(&settings, which, value);
    bool fine = core_configure_queue(t->core, queue, &settings, NULL, clock_now());
    assert(fine);
    (void)fine;
}

static void bury(struct test_broker *t, const char *queue, const char *where)
{
    struct queue_settings settings = { 0 };
    queue_settings_put_text(&settings, QUEUE_SETTING_dead_letter, span_str(where));
    bool fine = core_configure_queue(t->core, queue, &settings, NULL, clock_now());
    assert(fine);
    (void)fine;
}

static void configure_topic(struct test_broker *t, const struct topic_config *topic)
{
    bool fine = core_configure_topic(t->core, topic, NULL, clock_now());
    assert(fine);
    (void)fine;
}

struct test_broker *test_broker_start(unsigned capacity)
{
    struct test_broker *t = xcalloc(1, sizeof *t);
    char ingress[128];
    t->zmq = zmq_ctx_new();
    t->control = bind_free(t, ZMQ_ROUTER, t->endpoint);
    t->ingress = bind_free(t, ZMQ_PULL, ingress);
    struct core_config config;
    core_config_defaults(&config);
    config.incarnation = 1;
    config.auto_declare = true;
    t->store = store_memory_open();
    t->core = core_new(&config, t->store, clock_now());
    core_set_ingress(t->core, ingress);
    configure(t, "bounded", QUEUE_SETTING_capacity, capacity);
    configure(t, "brief", QUEUE_SETTING_lease, 200);
    configure(t, "guarded", QUEUE_SETTING_require_consumer, true);
    configure(t, "north", QUEUE_SETTING_capacity, 1000);
    bury(t, "fragile", "buried");
    const struct binding_config both[] = { { "north", { 0 } }, { "bounded", { 0 } } };
    configure_topic(t, &(struct topic_config){ .name = "both", .bindings = both, .binding_count = 2 });
    configure_topic(t, &(struct topic_config){ .name = "nothing", .unrouted = UNROUTED_DROP });
    pthread_create(&t->thread, NULL, run, t);
    return t;
}

const char *test_broker_endpoint(const struct test_broker *t)
{
    return t->endpoint;
}

void test_broker_stop(struct test_broker *t)
{
    atomic_store(&t->stop, true);
    pthread_join(t->thread, NULL);
    core_validate(t->core);
    core_free(t->core);
    t->store->ops->close(t->store);
    for (uint32_t i = 0; i < LANES; i++)
        close_lane(t, i);
    zmq_close(t->control);
    zmq_close(t->ingress);
    zmq_ctx_term(t->zmq);
    free(t);
}
