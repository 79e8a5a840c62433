/* The broker's life: drawn, started, crashed between any two effects, started again. Its queues are in memory, so a crash
 * takes them; what a later store keeps will plug in where the store is opened. */
#include "tests/sim/sim.h"

#include <stdlib.h>

void broker_draw(struct sim *s)
{
    core_config_defaults(&s->config);
    s->config.window_events = 8 + sim_random(s, 60);
    s->config.deliver_frame = 300;
    if (s->mood.tight)
        s->config.memory_budget = 2200 + sim_random(s, 1500);
    for (unsigned q = 0; q < SIM_QUEUES; q++) {
        s->capacity[q] = 2 + sim_random(s, 30);
        s->lease_ms[q] = s->mood.long_leases ? 30000 : 500 + sim_random(s, 4000);
    }
}

static void declare(struct sim *s, unsigned q)
{
    struct queue_settings settings = { 0 };
    struct queue *out;
    struct error e = { "" };
    queue_settings_put(&settings, QUEUE_SETTING_capacity, s->capacity[q]);
    queue_settings_put(&settings, QUEUE_SETTING_lease, s->lease_ms[q]);
    if (operate_declare(s->core, span_str(sim_queue_name(q)), &settings, false, false, &out, NULL, &e) != REASON_ok)
        sim_fail(s, "declare: %s", e.text);
}

void broker_start(struct sim *s)
{
    for (unsigned i = 0; i < sizeof s->config.seed; i++)
        s->config.seed[i] = (uint8_t)sim_random(s, 256);
    s->config.incarnation++;
    s->store = store_memory_open();
    s->core = core_new(&s->config, s->store, sim_now(s));
    memcpy(s->receipt_keys[s->config.incarnation], s->core->receipt_key, 16);
    core_set_ingress(s->core, "inproc://ingress");
    for (unsigned q = 0; q < SIM_QUEUES; q++)
        declare(s, q);
}

void broker_end(struct sim *s)
{
    core_free(s->core);
    s->store->ops->close(s->store);
}

static void restart(struct sim *s)
{
    sim_trace(s, "the broker crashes and starts again");
    broker_end(s);
    net_broker_death(s);
    broker_start(s);
    s->restarted = s->now;
    s->crashes = false;
}

static void take_ingress(struct sim *s, struct actor *a)
{
    struct parcel *parcel;
    for (struct pipe *p = a->to_broker; p; p = p->next) {
        while ((parcel = pipe_take(s, p)) != NULL) {
            core_frame(s->core, span_of(parcel->frame->data, parcel->frame->size), "inproc", sim_now(s));
            parcel_free(parcel);
        }
    }
    while ((parcel = pipe_take(s, &a->control_out)) != NULL) {
        struct route route = { .id = { (uint8_t)a->index, (uint8_t)a->instance }, .size = 2 };
        core_control(s->core, buf_span(&parcel->bytes), &route, "inproc", sim_now(s));
        parcel_free(parcel);
    }
}

void broker_step(struct sim *s)
{
    s->crashes = s->mood.restarts && !s->calm && s->config.incarnation < SIM_STARTS && sim_random(s, 8000) == 0;
    for (unsigned i = 0; i < SIM_CLIENTS; i++)
        take_ingress(s, &s->actors[i]);
    core_tick(s->core, sim_now(s));
    core_flush(s->core, sim_now(s));
    net_perform(s);
    if (s->crashes)
        restart(s);
}
