/* The broker: draws its configuration, starts it, ends it between any two effects or with an orderly stop, and starts
 * it again. Queues in memory are lost with each end; those on disk come back (storing.c). */
#include "broker/core/topic/topic.h"
#include "proto/filter.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

void broker_draw(struct sim *s)
{
    core_config_defaults(&s->config);
    s->config.window_events = 8 + sim_random(s, 60);
    s->config.deliver_frame = 300;
    s->config.attach_outcomes = sim_chance(s, 50) ? (uint32_t)sim_random(s, 600) : 1u << 20;
    if (s->scenario.tight)
        s->config.memory_budget = 2200 + sim_random(s, 1500);
    for (unsigned q = 0; q < s->queues; q++) {
        s->capacity[q] = 2 + sim_random(s, 30);
        s->lease_ms[q] = s->scenario.long_leases ? 30000 : 500 + sim_random(s, 4000);
        s->backoff_ms[q] = sim_chance(s, 50) ? sim_random(s, 2000) : 0;
        s->tries[q] = s->scenario.dies ? 1 + sim_random(s, 4) : 250;
        s->dead_capacity[q] = sim_chance(s, 50) ? sim_random(s, 6) : 10000;
    }
    for (unsigned q = 0; q < s->queues && s->scenario.in_step; q++)
        s->lease_ms[q] -= s->lease_ms[q] % SIM_BEAT_MS;
    keys_draw(s);
    timing_draw(s);
    storing_draw(s);
    if (s->scenario.dead_letters)
        s->on_disk[1] |= s->on_disk[0]; /* a queue on disk cannot have a dead-letter queue in memory */
    if (s->scenario.topics)
        s->on_disk[1] = s->on_disk[2] = s->on_disk[0]; /* a topic's queues all have the same durability */
}

/* ------------------------------------------------------------------ starts */

void broker_settings(struct sim *s, unsigned q, struct queue_settings *out)
{
    if (s->scenario.anything) {
        anything_settings(s, q, out);
        return;
    }
    queue_settings_put(out, QUEUE_SETTING_capacity, s->capacity[q]);
    queue_settings_put(out, QUEUE_SETTING_lease, s->lease_ms[q]);
    queue_settings_put(out, QUEUE_SETTING_backoff, s->backoff_ms[q]);
    queue_settings_put(out, QUEUE_SETTING_backoff_max, s->backoff_ms[q] * 3);
    queue_settings_put(out, QUEUE_SETTING_max_deliveries, s->tries[q]);
    queue_settings_put(out, QUEUE_SETTING_max_crashes, s->tries[q]);
    queue_settings_put(out, QUEUE_SETTING_dead_capacity, s->calm ? 100000 : s->dead_capacity[q]);
    if (s->scenario.dead_letters && q == 0)
        queue_settings_put_text(out, QUEUE_SETTING_dead_letter, span_str(sim_queue_name(1)));
    queue_settings_put(out, QUEUE_SETTING_partitions, s->partitions[q]);
    queue_settings_put(out, QUEUE_SETTING_ordered, s->ordered[q] ? ORDERED_KEY : ORDERED_NONE);
    queue_settings_put(out, QUEUE_SETTING_dead_letter_expired, s->scenario.expiries);
    if (s->scenario.drops && q == 0) {
        queue_settings_put(out, QUEUE_SETTING_overflow, OVERFLOW_DROP_OLDEST);
        queue_settings_put(out, QUEUE_SETTING_dead_letter_dropped, true);
    }
    queue_settings_put(out, QUEUE_SETTING_ttl, s->ttl_ms[q]);
    queue_settings_put(out, QUEUE_SETTING_delay, s->delay_ms[q]);
    queue_settings_put(out, QUEUE_SETTING_durability, s->on_disk[q] ? DURABILITY_DISK : DURABILITY_MEMORY);
}

static void declare(struct sim *s, unsigned q)
{
    struct queue_settings settings = { 0 };
    struct queue *out;
    struct error e = { "" };
    broker_settings(s, q, &settings);
    if (operate_declare(s->core, span_str(sim_queue_name(q)), &settings, false, false, &out, NULL, &e) != REASON_ok)
        sim_wrong(s, "declare: %s", e.text);
}

/* The second and the third queue take the events whose way includes them. */
static enum reason bind(struct sim *s, struct topic *t, unsigned q, struct error *e)
{
    static const char *const filters[SIM_QUEUES] = {
        NULL,
        "{\"any\": [{\"exact\": {\"type\": \"b\"}}, {\"exact\": {\"type\": \"d\"}}]}",
        "{\"not\": {\"any\": [{\"exact\": {\"type\": \"a\"}}, {\"exact\": {\"type\": \"b\"}}]}}",
    };
    struct buf filter = { 0 };
    if (filters[q] && !filter_from_text(span_str(filters[q]), "", &filter, e))
        sim_fail(s, "filter: %s", e->text);
    enum reason why = topic_bind(s->core, t, queue_find(s->core, span_str(sim_queue_name(q))), buf_span(&filter), e);
    buf_free(&filter);
    return why;
}

static void make_topic(struct sim *s)
{
    struct topic *t;
    bool created;
    struct error e = { "" };
    enum reason why = topic_put(s->core, span_str(SIM_TOPIC), &t, &created, &e);
    if (s->on_disk[0] && s->clean[s->config.incarnation - 1] && created)
        sim_fail(s, "the topic did not come back");
    for (unsigned q = 0; q < s->queues && why == REASON_ok; q++)
        why = bind(s, t, q, &e);
    if (why != REASON_ok)
        sim_fail(s, "topic: %s", e.text);
    persist_topic(s->core, t);
}

static void close_all(struct sim *s)
{
    core_free(s->core);
    storing_close(s);
    s->store->ops->close(s->store);
    s->core = NULL;
}

/* False: a fault of its disk prevented it. */
static bool try_start(struct sim *s)
{
    bool hopeless;
    for (unsigned i = 0; i < sizeof s->config.seed; i++)
        s->config.seed[i] = (uint8_t)sim_random(s, 256);
    s->store = store_memory_open();
    s->core = core_new(&s->config, s->store, sim_now(s));
    memcpy(s->receipt_keys[s->config.incarnation], s->core->receipt_key, 16);
    core_set_ingress(s->core, "inproc://ingress");
    return storing_open(s, &hopeless) || hopeless;
}

void broker_start(struct sim *s)
{
    s->config.incarnation++;
    while (!try_start(s)) {
        storing_cut_off(s, sim_chance(s, 50));
        close_all(s);
    }
    storing_check_start(s);
    for (unsigned q = s->queues; q-- > 0 && !s->failed;) /* dead-letter queues first */
        declare(s, q);
    if (s->scenario.topics && !s->failed && (!s->scenario.anything || s->config.incarnation == 1))
        make_topic(s);
}

void broker_free(struct sim *s)
{
    if (s->disk)
        disk_kill(s->disk);
    close_all(s);
    storing_free(s);
}

/* ------------------------------------------------------------------ ends */

static void restart(struct sim *s)
{
    static const char *const how[] = { "", "is killed", "crashes with its machine", "ends: its disk failed", "stops" };
    sim_trace(s, "the broker %s and starts again%s%s", how[s->end], s->end == END_FAILED ? ": " : "",
              s->end == END_FAILED ? log_failure(s->log) : "");
    s->clean[s->config.incarnation] = s->end == END_STOPPED;
    storing_cut_off(s, s->end == END_CRASHED || (s->end != END_KILLED && sim_chance(s, 50)));
    close_all(s);
    net_broker_death(s);
    s->end = END_NONE;
    s->stops_at = 0;
    broker_start(s);
    s->restarted = s->now;
}

static void begin_stop(struct sim *s)
{
    sim_trace(s, "the broker begins to stop");
    core_stop(s->core, sim_now(s));
    s->stops_at = s->now + 10000 * MS; /* what waits for the disk may take so long; the farewell follows */
}

/* The broker may end at any step. */
static void draw_end(struct sim *s)
{
    bool carries = storing_carries(s); /* that is mostly so later on, when few events vanish any more */
    if (!s->scenario.restarts || (s->calm && !carries) || s->config.incarnation >= SIM_STARTS || s->stops_at)
        return;
    if (sim_random(s, carries ? 50 : s->disk ? 3000 : 8000))
        return;
    uint64_t how = sim_random(s, 10);
    if (how < 3)
        begin_stop(s);
    else
        s->end = how < 6 ? END_KILLED : END_CRASHED;
}

/* ------------------------------------------------------------------ turns */

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

/* In the order of broker/loop.c: the log gets what is to be written before anything is sent. An end may come before
 * that, or between any two operations and effects. */
static void finish_turn(struct sim *s)
{
    if (s->end && s->log && sim_chance(s, 30))
        return;
    if (s->log && storing_flush(s)) {
        core_disk(s->core, sim_now(s));
        core_flush(s->core, sim_now(s));
    }
    storing_wake(s);
    for (uint64_t some = s->end && s->disk ? sim_random(s, 12) : 0; some; some--)
        disk_step(s->disk, &s->random);
    net_perform(s);
}

static void broker_turn(struct sim *s)
{
    anything_turn(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++)
        take_ingress(s, &s->actors[i]);
    operating_clear_dead(s);
    if (s->log)
        core_disk(s->core, sim_now(s));
    core_tick(s->core, sim_now(s));
    core_flush(s->core, sim_now(s));
    finish_turn(s);
}

void broker_step(struct sim *s)
{
    bool was_said = core_has_said_bye(s->core);
    draw_end(s);
    storing_step(s);
    broker_turn(s);
    if (!s->end && s->log && core_disk_failed(s->core))
        s->end = END_FAILED;
    if (!was_said && core_has_said_bye(s->core))
        s->stops_at = s->now + 200 * MS;
    if (!s->end && s->stops_at && s->stops_at <= s->now && (!s->log || s->log->ops->stop(s->log)))
        s->end = END_STOPPED;
    storing_wake(s);
    if (s->end)
        restart(s);
}
