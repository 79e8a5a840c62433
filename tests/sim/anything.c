/* Worlds where anything goes: queues are declared with whatever settings, deleted and created again, bound to the
 * topic and unbound, and programs make every call there is on any of them. From outside nobody can then tell what must
 * become of an event. Checked is what holds within the broker after each step; that each entry gets one outcome; that
 * the ledgers balance; and that everything drains in the end and leaves nothing behind. */
#include "broker/core/calls/redrive.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"
#include "proto/filter.h"
#include "tests/sim/sim.h"

#define CAPACITY_BYTES_CALM (UINT64_C(1) << 26)

void anything_draw(struct sim *s)
{
    struct scenario *m = &s->scenario;
    m->anything = s->seed % 6 == 5; /* not drawn, as in draw_scenario */
    if (!m->anything)
        return;
    m->purges = m->deletes = m->repeats = m->dies = m->delays = m->topics = true;
    m->dead_letters = m->drops = m->expiries = m->cramped = false; /* they depend on the settings here */
}

/* ------------------------------------------------------------------ settings */

/* Gives a setting: in the calm the value `calm`, with which everything drains; before that `value`, or none. */
static void put(struct sim *s, struct queue_settings *out, enum queue_setting which, uint64_t value, uint64_t calm)
{
    if (s->calm || sim_chance(s, 60))
        queue_settings_put(out, which, s->calm ? calm : value);
}

/* In half of these worlds, once the topic has its queues, a queue that is created again may have the other durability,
 * and any dead-letter queue that the broker permits. Not drawn, as in draw_scenario. */
static bool is_turned_round(const struct sim *s)
{
    return s->disk && s->steps && s->seed / 24 % 2;
}

/* Draws the dead-letter queue: mostly one after this queue, so that there are no cycles. */
static const char *draw_dead_letter_queue(struct sim *s, unsigned queue)
{
    unsigned behind = s->queues - 1 - queue;
    if (!s->calm && is_turned_round(s))
        return sim_chance(s, 40) ? "" : sim_queue_name((unsigned)sim_random(s, s->queues));
    if (s->calm || behind == 0 || sim_chance(s, 40))
        return "";
    return sim_queue_name(queue + 1 + (unsigned)sim_random(s, behind));
}

static bool is_to_be_on_disk(struct sim *s, unsigned queue)
{
    return is_turned_round(s) ? sim_chance(s, 50) : s->on_disk[queue];
}

void anything_settings(struct sim *s, unsigned queue, struct queue_settings *out)
{
    const struct queue *q = queue_find(s->core, span_str(sim_queue_name(queue)));
    put(s, out, QUEUE_SETTING_capacity, 1 + sim_random(s, 60), 100);
    put(s, out, QUEUE_SETTING_capacity_bytes, sim_chance(s, 20) ? 1024 + sim_random(s, 4000) : 1u << 20,
        CAPACITY_BYTES_CALM);
    put(s, out, QUEUE_SETTING_overflow, sim_random(s, 3), OVERFLOW_WAIT);
    put(s, out, QUEUE_SETTING_require_consumer, sim_chance(s, 10), false);
    put(s, out, QUEUE_SETTING_lease, 500 + sim_random(s, 4000), 2000);
    put(s, out, QUEUE_SETTING_backoff, sim_chance(s, 50) ? sim_random(s, 2000) : 0, 0);
    put(s, out, QUEUE_SETTING_max_deliveries, 1 + sim_random(s, 4), 4);
    put(s, out, QUEUE_SETTING_max_crashes, 1 + sim_random(s, 4), 4);
    put(s, out, QUEUE_SETTING_dead_capacity, sim_chance(s, 50) ? sim_random(s, 6) : 10000, 100000);
    put(s, out, QUEUE_SETTING_dead_letter_dropped, sim_chance(s, 50), false);
    put(s, out, QUEUE_SETTING_dead_letter_expired, sim_chance(s, 50), false);
    put(s, out, QUEUE_SETTING_ttl, sim_chance(s, 25) ? 1 + sim_random(s, 8000) : 0, 0);
    put(s, out, QUEUE_SETTING_delay, sim_chance(s, 25) ? 1 + sim_random(s, 2000) : 0, 0);
    put(s, out, QUEUE_SETTING_dedup_window, sim_chance(s, 30) ? sim_random(s, 500) : 120000, 120000);
    put(s, out, QUEUE_SETTING_dedup_entries, 1 + sim_random(s, 20), 100000);
    if (s->calm || sim_chance(s, 60))
        queue_settings_put_text(out, QUEUE_SETTING_dead_letter, span_str(draw_dead_letter_queue(s, queue)));
    if (!q || (queue_remaining(q) == 0 && sim_chance(s, 50))) { /* refused if the queue is not empty by then */
        queue_settings_put(out, QUEUE_SETTING_partitions, sim_chance(s, 50) ? 1 : 2 + sim_random(s, 3));
        queue_settings_put(out, QUEUE_SETTING_ordered, sim_chance(s, 60) ? ORDERED_KEY : ORDERED_NONE);
    }
    if (!q)
        queue_settings_put(out, QUEUE_SETTING_durability,
                           is_to_be_on_disk(s, queue) ? DURABILITY_DISK : DURABILITY_MEMORY);
}

/* ------------------------------------------------------------------ calls */

/* A filter that matches every event, or those of one way. */
static struct span draw_filter(struct sim *s, struct buf *filter)
{
    static const char *const filters[] = { "{\"exact\": {\"type\": \"b\"}}",
                                           "{\"not\": {\"exact\": {\"type\": \"b\"}}}" };
    if (sim_chance(s, 50) && !filter_from_text(span_str(filters[sim_random(s, 2)]), "", filter, NULL))
        sim_fail(s, "a filter is none");
    return buf_span(filter);
}

static void draw_redrive(struct sim *s, struct request *r, uint64_t next, uint64_t sequences[3])
{
    r->u.redrive.to = sim_chance(s, 50) ? "" : sim_queue_name((unsigned)sim_random(s, s->queues));
    r->u.redrive.stop = sim_chance(s, 5);
    r->u.redrive.dry_run = sim_chance(s, 10);
    r->u.redrive.rate = sim_chance(s, 40) ? 1 + (uint32_t)sim_random(s, 200) : 0;
    r->u.redrive.sequences = sequences;
    r->u.redrive.count = sim_chance(s, 20) ? 3 : 0;
    for (size_t i = 0; i < r->u.redrive.count; i++)
        sequences[i] = 1 + sim_random(s, next);
}

static void draw_topic_call(struct sim *s, struct request *r)
{
    bool whole = r->call == CALL_PUT_TOPIC || r->call == CALL_DELETE_TOPIC;
    const char *queue = r->queue;
    r->topic = SIM_TOPIC;
    r->queue = whole ? "" : queue;
    if (r->call != CALL_PUT_TOPIC)
        return;
    r->u.put_topic.has_unrouted = sim_chance(s, 70);
    r->u.put_topic.unrouted = (enum unrouted)sim_random(s, UNROUTED_QUEUE + 1);
    r->u.put_topic.catch_all = r->u.put_topic.unrouted == UNROUTED_QUEUE ? queue : "";
}

/* Draws the rest of the request. The queue's sequences are below `next`. */
static void draw_rest(struct sim *s, struct request *r, unsigned queue, uint64_t next, uint64_t sequences[3],
                      struct buf *filter)
{
    switch (r->call) {
    case CALL_DECLARE: anything_settings(s, queue, &r->u.declare.settings); return;
    case CALL_DELETE: r->u.delete_.force = sim_chance(s, 80); return;
    case CALL_PURGE: r->u.purge.dead = sim_chance(s, 40); return;
    case CALL_CANCEL: r->u.cancel.sequence = 1 + sim_random(s, next); return;
    case CALL_EXPLAIN: r->u.explain.sequence = 1 + sim_random(s, next); return;
    case CALL_REDRIVE:
        draw_redrive(s, r, next, sequences);
        r->u.redrive.filter = draw_filter(s, filter);
        return;
    case CALL_PEEK:
        r->u.peek.state = (enum event_state)sim_random(s, STATE_DEAD + 1);
        r->u.peek.from = sim_random(s, next);
        r->u.peek.max = (uint32_t)sim_random(s, 20);
        return;
    case CALL_BIND: r->u.bind.filter = draw_filter(s, filter); break;
    case CALL_LIST: r->u.list.prefix = r->u.list.after = r->queue = ""; return;
    default: break;
    }
    if (r->call == CALL_PUT_TOPIC || r->call == CALL_DELETE_TOPIC || r->call == CALL_BIND || r->call == CALL_UNBIND)
        draw_topic_call(s, r);
}

void anything_act(struct actor *a)
{
    static const enum call calls[] = { CALL_DECLARE, CALL_DECLARE, CALL_DECLARE,  CALL_DECLARE,   CALL_DELETE,
                                       CALL_PURGE,   CALL_PURGE,   CALL_PAUSE,    CALL_RESUME,    CALL_RESUME,
                                       CALL_CLOSE,   CALL_OPEN,    CALL_OPEN,     CALL_REDRIVE,   CALL_REDRIVE,
                                       CALL_REDRIVE, CALL_CANCEL,  CALL_CANCEL,   CALL_PUT_TOPIC, CALL_PUT_TOPIC,
                                       CALL_BIND,    CALL_BIND,    CALL_BIND,     CALL_UNBIND,    CALL_DELETE_TOPIC,
                                       CALL_PEEK,    CALL_EXPLAIN, CALL_DESCRIBE, CALL_LIST };
    struct sim *s = a->sim;
    unsigned queue = (unsigned)sim_random(s, s->queues);
    struct request r = { .call = calls[sim_random(s, sizeof calls / sizeof *calls)],
                         .queue = sim_queue_name(queue),
                         .topic = "" };
    const struct queue *q = queue_find(s->core, span_str(r.queue));
    uint64_t sequences[3];
    struct buf filter = { 0 };
    draw_rest(s, &r, queue, q ? q->next_sequence : 1, sequences, &filter);
    sim_trace(s, "c%llu calls %d on %s", (unsigned long long)a->instance, (int)r.call, sim_queue_name(queue));
    client_call(a->client, &r, a, 3000, sim_now(s));
    buf_free(&filter);
}

/* As if the list of admitted keys changed: some of the sessions end each time. */
static bool is_admitted(void *s, const char *peer)
{
    (void)peer;
    return sim_chance(s, 70);
}

static bool is_in_file(const void *s, bool topic, const char *name)
{
    (void)topic;
    (void)name;
    return sim_chance((struct sim *)(uintptr_t)s, 50);
}

static bool is_in_none(const void *s, bool topic, const char *name)
{
    (void)s;
    (void)topic;
    (void)name;
    return false;
}

/* Configures the topic with some of the queues, whatever it had before. */
static void configure_topic(struct sim *s)
{
    struct buf filters[SIM_QUEUES] = { { 0 } };
    struct binding_config bindings[SIM_QUEUES];
    struct topic_config config = { .name = SIM_TOPIC, .bindings = bindings };
    struct error e;
    for (unsigned q = 0; q < s->queues; q++) {
        if (sim_chance(s, 60))
            bindings[config.binding_count++] =
                (struct binding_config){ sim_queue_name(q), draw_filter(s, &filters[q]) };
    }
    config.unrouted = (enum unrouted)sim_random(s, UNROUTED_QUEUE + 1);
    config.catch_all = sim_queue_name((unsigned)sim_random(s, s->queues));
    core_configure_topic(s->core, &config, &e, sim_now(s));
    for (unsigned q = 0; q < s->queues; q++)
        buf_free(&filters[q]);
}

/* Reloads the configuration, which has some of the queues, and perhaps the topic. */
static void configure(struct sim *s)
{
    struct error e;
    sim_trace(s, "the configuration is read again");
    for (unsigned q = s->queues; q-- > 0;) {
        struct queue_settings settings = { 0 };
        anything_settings(s, q, &settings);
        if (sim_chance(s, 60))
            core_configure_queue(s->core, sim_queue_name(q), &settings, &e, sim_now(s));
    }
    if (sim_chance(s, 60))
        configure_topic(s);
    core_unmanage(s->core, is_in_file, s);
}

void anything_turn(struct sim *s)
{
    if (!s->scenario.anything)
        return;
    if (s->calm)
        core_unmanage(s->core, is_in_none, s); /* so that calls can set everything right */
    else if (sim_random(s, 4000) == 0)
        core_revoke(s->core, is_admitted, s, sim_now(s));
    else if (sim_random(s, 1000) == 0)
        configure(s);
}

/* ------------------------------------------------------------------ after each step */

/* Dead-letter queues form no cycle, and none leads from the disk to memory. */
void anything_check_step(struct sim *s)
{
    for (uint32_t i = 0; s->scenario.anything && i < s->core->queue_count; i++) {
        const struct queue *q = s->core->by_name[i], *to = q;
        for (unsigned steps = 0; to && to->settings.dead_letter[0]; steps++) {
            const struct queue *from = to;
            to = queue_find(s->core, span_str(from->settings.dead_letter));
            if (steps > s->core->queue_count)
                sim_fail(s, "%s: its dead go round in a circle", q->name);
            if (to && from->durable && !to->durable)
                sim_fail(s, "%s is on disk, and its dead go into memory", from->name);
            if (s->failed)
                return;
        }
    }
}

/* ------------------------------------------------------------------ the end */

#define NOTHING_IS_LEFT(condition)                                                                                     \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            sim_fail(s, "%s: something is left of what drained: %s", q->name, #condition);                             \
    } while (0)

static void check_schedule(struct sim *s, const struct queue *q, const struct schedule *k)
{
    NOTHING_IS_LEFT(k->parked_events == 0 && k->unparked_events == 0 && !k->loading);
    NOTHING_IS_LEFT(k->doomed_events == 0 && k->doomed_by_failure.count == 0 && k->overdue.count == 0 &&
                    !k->doomed_loading);
}

static void check_queue(struct sim *s, const struct queue *q)
{
    const struct partitions *p = q->partitions;
    NOTHING_IS_LEFT(q->bytes == 0 && q->held == 0 && !q->stragglers && !q->waiters);
    NOTHING_IS_LEFT(HASH_COUNT(q->troubles) == q->dead);
    NOTHING_IS_LEFT(!p || (!p->keys && p->sorted == 0 && p->sorted_bytes == 0));
    NOTHING_IS_LEFT(!p || (p->spill.all.events == 0 && p->spill.counted == 0));
    NOTHING_IS_LEFT(!q->durable || (q->durable->backlog_events == 0 && q->durable->backlog_bytes == 0));
    if (q->schedule)
        check_schedule(s, q, q->schedule);
}

void anything_check_end(struct sim *s)
{
    const struct core *c = s->core;
    for (uint32_t i = 0; s->scenario.anything && i < c->queue_count; i++)
        check_queue(s, c->by_name[i]);
    if (s->scenario.anything && (c->waiting_bytes || c->spill_bytes || c->pending_peeks || c->explanations ||
                                 c->lease_count != c->free_lease_count))
        sim_fail(s, "something is left in the broker of what drained");
}
