/* What must hold inside the broker after each step, and at the end, when there have been no faults for a while. */
#include "broker/core/topic/topic.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

static void check_credit(struct sim *s, const struct queue *q)
{
    const struct consumer *k;
    DL_FOREACH2(q->consumers, k, queue_next)
    {
        if (!s->scenario.lowers && !s->calm && k->next_delivery > k->limit + 1)
            sim_fail(s, "%s delivered %llu with credit up to %llu", q->name, (unsigned long long)k->next_delivery - 1,
                     (unsigned long long)k->limit);
        if (k->next_delivery > k->most_granted + 1)
            sim_fail(s, "%s delivered past every credit", q->name);
    }
}

/* Does a publish to a topic that arrived earlier go before the queue's first waiter? (check_topic checks that one.) */
static bool stands_behind_topic(const struct queue *q)
{
    const struct topic *t = topic_oldest(q);
    return t && t->waiters->arrival < q->waiters->arrival;
}

static void check_waiters(struct sim *s, const struct queue *q)
{
    const struct waiting *w = q->waiters;
    if (!w || q->runnable || stands_behind_topic(q)) {
        s->roomy_since[sim_queue_index(q->name)] = 0;
        return;
    }
    struct room room = queue_room(s->core, q); /* the first waiter waits only if there is no room */
    uint64_t plenty = q->durable ? 3000 : 100000;
    bool idle = room.events > 0 && room.bytes > 100000 && room.budget > plenty && w->undecided == w->count - w->next;
    int64_t *since = &s->roomy_since[sim_queue_index(q->name)];
    if (!idle || *since == 0)
        *since = idle ? s->now : 0;
    if (idle && s->now - *since >= (q->durable ? 10 * MS : 0))
        sim_fail(s, "%s has room and yet somebody waits", q->name);
    DL_FOREACH2(q->waiters, w, next_waiting)
    {
        if (w->destination->waiting_events > s->config.window_events / 2)
            sim_fail(s, "one destination waits with more than half a window");
    }
}

/* A queue holds no more than its capacity, except for events that came back at a start; that excess may only shrink. */
static bool within_capacity(struct sim *s, const struct queue *q)
{
    uint64_t held = queue_remaining(q), capacity = q->settings.capacity;
    uint64_t over = held > capacity ? held - capacity : 0, *before = &s->over[sim_queue_index(q->name)];
    bool within = over <= *before;
    *before = over;
    return within;
}

static void check_queue(struct sim *s, struct queue *q)
{
    if (!within_capacity(s, q))
        sim_wrong(s, "%s holds %llu of %llu", q->name, (unsigned long long)queue_remaining(q),
                  (unsigned long long)q->settings.capacity);
    check_credit(s, q);
    keys_check_shares(s, q);
    keys_check_progress(s, q);
    check_waiters(s, q);
}

/* The topic's first waiter waits only if some queue has no room. */
static void check_topic(struct sim *s)
{
    const struct topic *t = topic_find(s->core, span_str(SIM_TOPIC));
    bool idle = t && t->waiters && !t->is_woken;
    for (uint32_t i = 0; idle && i <= t->binding_count; i++) {
        const struct queue *q = i < t->binding_count ? t->bindings[i].queue : t->catch_all;
        struct room room = q ? queue_room(s->core, q) : (struct room){ 0 };
        idle = !q || (room.events > 0 && room.bytes > 6000 && room.budget > (q->durable ? 6000 : 100000) &&
                      !q->waiters && !q->closed);
    }
    if (!idle || s->topic_roomy_since == 0)
        s->topic_roomy_since = idle ? s->now : 0;
    if (idle && s->now - s->topic_roomy_since >= 10 * MS)
        sim_fail(s, "the topic's queues have room and yet somebody waits");
}

/* The attributes added to dead letters may exceed the memory budget. */
static uint64_t said_of_the_dead(const struct sim *s)
{
    const struct queue *q = s->scenario.dead_letters ? queue_find(s->core, span_str(sim_queue_name(1))) : NULL;
    return q && !q->durable ? 400 * queue_remaining(q) : 0;
}

void check_step(struct sim *s)
{
    if (s->failed)
        return;
    uint64_t used = s->core->waiting_bytes; /* by events and waiters; the store's last block may exceed it */
    for (uint32_t i = 0; i < s->core->queue_count; i++) {
        check_queue(s, s->core->by_name[i]);
        used += s->core->by_name[i]->durable ? 0 : s->core->by_name[i]->bytes;
    }
    check_topic(s);
    anything_check_step(s);
    if (used > s->config.memory_budget + said_of_the_dead(s))
        sim_wrong(s, "the broker holds %llu bytes of %llu", (unsigned long long)used,
                  (unsigned long long)s->config.memory_budget);
    timing_check(s);
    if (s->steps % 16 == 0)
        remembering_check(s);
    if (s->steps % 16 == 0 && mutation == MUTATION_none) /* planted faults must be seen from outside */
        core_validate(s->core);
}

/* ------------------------------------------------------------------ the end */

static bool is_alive(const struct sim *s, uint64_t instance)
{
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        if (s->actors[i].client && s->actors[i].instance == instance)
            return true;
    }
    return false;
}

static uint64_t check_facts(struct sim *s)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = s->facts[i];
        if (f->outcomes == 0 && is_alive(s, f->producer))
            sim_fail(s, "#%zu never got an outcome", i);
        bool lasts = s->on_disk[f->queue] || f->incarnation == s->config.incarnation;
        lost += f->outcomes && f->reason == REASON_ok && lasts && !f->ack_asked && !f->duplicate &&
                !storing_is_dead(s, f) && !timing_may_be_gone(s, f);
    }
    return lost;
}

static int by_sequence(const void *left, const void *right)
{
    const struct fact *a = *(struct fact *const *)left, *b = *(struct fact *const *)right;
    if (a->queue != b->queue)
        return a->queue < b->queue ? -1 : 1;
    return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* Over all runs of the broker, a queue on disk uses each sequence once, and gives them to each publisher's events in
 * order. */
static void check_sequences(struct sim *s)
{
    qsort(s->facts, s->fact_count, sizeof(struct fact *), by_sequence);
    uint64_t newest[2][256]; /* published to the queue, to the topic */
    for (size_t i = 0; i < s->fact_count; i++) {
        const struct fact *f = s->facts[i], *before = i ? s->facts[i - 1] : NULL;
        if (!before || before->queue != f->queue)
            memset(newest, 0, sizeof newest);
        if (!s->on_disk[f->queue] || f->sequence == 0)
            continue;
        if (before && before->queue == f->queue && before->sequence == f->sequence)
            sim_fail(s, "%s gave sequence %llu twice", sim_queue_name(f->queue), (unsigned long long)f->sequence);
        if (fact_is_dead_letter(f))
            continue;
        uint64_t *order = &newest[f->by_topic][f->producer % 256];
        if (f->order < *order)
            sim_fail(s, "#%llu of c%llu was accepted after a later one", (unsigned long long)f->id,
                     (unsigned long long)f->producer);
        *order = f->order;
    }
}

/* Is a cramped disk used up for good? So it is when half of what it has besides the reserve and a checkpoint is live:
 * events that wait to become dead letters, each of which takes more room than it gives back. Only more disk would help
 * them. */
static bool is_used_up(const struct sim *s)
{
    struct log_info info = { 0 };
    if (!s->scenario.cramped || !s->scenario.dead_letters || !s->log)
        return false;
    log_info(s->log, &info);
    return info.live_bytes * 2 > info.disk_budget - s->log_config.segment_size * 5 / 2;
}

void check_end(struct sim *s)
{
    struct broker_info info;
    core_info(s->core, &info, sim_now(s));
    const struct ledger *l = &info.ledger;
    if (info.disk_carried_groups != storing_carried(s))
        sim_fail(s, "the broker tells of another number of carried groups than its log");
    if (mutation == MUTATION_none)
        core_validate(s->core);
    uint64_t lost = check_facts(s);
    bool dead_may_go = s->scenario.redrives || s->scenario.purges || s->scenario.deletes;
    /* Dead letters that died, or expired, before anybody was given them are unknown here. */
    uint64_t unseen = s->scenario.dead_letters ? books_never_seen(s, 1) : 0;
    lost -= unseen < lost ? unseen : lost;
    uint64_t waiting = is_used_up(s) ? l->remaining : 0;
    lost -= waiting < lost ? waiting : lost;
    uint64_t dead = l->dead_lettered + l->dropped + (s->scenario.expiries ? l->expired : 0);
    uint64_t vanished = l->purged + (dead_may_go ? dead : 0);
    if (lost > vanished || (lost && !s->scenario.purges && !s->scenario.deletes && !s->scenario.redrives))
        sim_wrong(s, "%llu confirmed events never arrived", (unsigned long long)lost);
    if (l->remaining > waiting)
        sim_fail(s, "%llu events never drained", (unsigned long long)l->remaining);
    if (l->accepted != l->acked + l->purged + l->dropped + l->dead_lettered + l->expired + waiting)
        sim_fail(s, "the ledger does not balance");
    if (!s->scenario.deletes && !s->scenario.redrives)
        check_sequences(s);
    if (!waiting)
        books_check(s);
    anything_check_end(s);
    keeping_check(s);
    for (unsigned i = 0; i < SIM_CLIENTS; i++) {
        if (!s->actors[i].client || !client_is_attached(s->actors[i].client))
            sim_fail(s, "client %u is not attached at the end", i);
    }
}
