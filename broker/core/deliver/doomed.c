#include "broker/core/deliver/doomed.h"

#include "broker/core/deliver/trouble.h"
#include "broker/core/queue/items.h"

#include "base/mutation.h"

/* At most so many die in one turn of a queue; the rest wait for its next turn, so that other queues get theirs. */
#define AT_ONCE 16384u
/* How long to wait before another try when there is no room for dead events. */
#define NO_ROOM_MS 5000
/* doomed_at while the first of them is not durable yet: the queue gets a turn as soon as it is. */
#define WHEN_DURABLE INT64_MAX

void doomed_add(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    struct schedule *k = q->schedule;
    struct trouble *t = q->troubles ? trouble_find(q, sequence) : NULL;
    if (k->doomed_by_failure.count)
        ranges_remove(&k->doomed_by_failure, sequence, sequence + 1);
    if (doomed_has(k, sequence))
        return;
    if (t)
        trouble_unhold(q, t); /* if it was to die for another reason, this one replaces it */
    if (item)
        queue_withdraw(c, q, sequence, item);
    else
        schedule_park_event(c, q, sequence);
    if (k->overdue.count)
        ranges_remove(&k->overdue, sequence, sequence + 1);
    ranges_add(&k->doomed, sequence, sequence + 1);
    if (k->doomed_events++ == 0) {
        k->doomed_hold = HOLD_NOT;
        k->doomed_at = c->now.mono.ns;
    }
    core_run_queue(c, q); /* its turn calls doomed_run */
}

void doomed_remove(struct schedule *k, uint64_t sequence)
{
    if (k->doomed_events)
        k->doomed_events -= ranges_remove(&k->doomed, sequence, sequence + 1);
    if (k->doomed_by_failure.count)
        ranges_remove(&k->doomed_by_failure, sequence, sequence + 1);
}

static bool should_be_dead(const struct queue *q, const struct trouble *t)
{
    return !t->dead && retry_verdict(q, t) != DEAD_NOT && backlog_where(q, t->sequence) != BACKLOG_NOWHERE;
}

void doomed_recover(struct core *c, struct queue *q)
{
    for (const struct trouble *t = MUTATED(forget_held) ? NULL : q->troubles; t; t = t->hh.next) {
        if (!should_be_dead(q, t))
            continue;
        schedule_of(c, q);
        doomed_add(c, q, t->sequence, NULL);
        ranges_add(&q->schedule->doomed_by_failure, t->sequence, t->sequence + 1);
    }
}

/* Why the event has to die; DEAD_NOT: it need not any more, because the queue's settings have changed. */
static enum dead_reason reason_of(const struct queue *q, uint64_t sequence)
{
    if (!doomed_by_failure(q->schedule, sequence))
        return q->settings.dead_letter_expired ? DEAD_EXPIRED : DEAD_NOT;
    const struct trouble *t = trouble_find(q, sequence);
    return t ? retry_verdict(q, t) : DEAD_NOT;
}

int64_t doomed_due(const struct schedule *k)
{
    return k->doomed_events && !k->doomed_loading ? k->doomed_at : INT64_MAX;
}

static void try_again(struct core *c, struct schedule *k, enum dead_hold why, int64_t ms)
{
    k->doomed_hold = why;
    k->doomed_at = mono_add_ms(c->now.mono, ms).ns;
}

/* Reads the next ones, which are [first, end). */
static void read_from(struct core *c, struct queue *q, uint64_t first, uint64_t end)
{
    struct schedule *k = q->schedule;
    if (!q->settings.dead_letter[0] && q->dead >= q->settings.dead_capacity) {
        try_again(c, k, HOLD_FULL, NO_ROOM_MS); /* do not read what cannot die now */
        return;
    }
    if (first >= q->durable->end) {
        k->doomed_hold = HOLD_NOT;
        k->doomed_at = WHEN_DURABLE;
        return;
    }
    k->doomed_loading = true;
    c->disk->ops->load(c->disk, q->id, first, schedule_load_bytes(q, &k->doomed, first, end),
                       load_tag(LOAD_DOOMED, q->id));
}

/* The event need not become dead any more: an expired one leaves, a failed one will be delivered again. */
static void let_go(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    if (doomed_by_failure(q->schedule, sequence)) {
        doomed_remove(q->schedule, sequence);
        schedule_unpark(c, q, sequence);
    } else if (item)
        queue_settle(c, q, sequence, item, CAUSE_EXPIRED);
    else
        backlog_settle(c, q, sequence, CAUSE_EXPIRED);
}

void doomed_run(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    uint64_t first, end;
    bool later = k->doomed_at > c->now.mono.ns && k->doomed_at != WHEN_DURABLE;
    if (k->doomed_events == 0 || k->doomed_loading || later || c->failed)
        return;
    for (uint32_t left = AT_ONCE; left && ranges_next(&k->doomed, 0, &first, &end); left--) {
        struct item *item = queue_item(q, first);
        enum dead_reason reason = reason_of(q, first);
        if (reason == DEAD_NOT) {
            let_go(c, q, first, item);
            continue;
        }
        if (!item) {
            read_from(c, q, first, end);
            return;
        }
        enum dead_hold why = dead_try(c, q, first, item, reason);
        if (why != HOLD_NOT) {
            try_again(c, k, why, NO_ROOM_MS);
            return;
        }
    }
}

/* Makes a loaded event dead. False: it stays where it is, and the caller releases its bytes. */
static bool bury(struct core *c, struct queue *q, const struct store_loaded *e)
{
    struct schedule *k = q->schedule;
    enum dead_reason reason = doomed_has(k, e->sequence) ? reason_of(q, e->sequence) : DEAD_NOT;
    if (reason == DEAD_NOT || queue_item(q, e->sequence))
        return false;
    if (MUTATED(lose_expired)) {
        backlog_settle(c, q, e->sequence, CAUSE_EXPIRED);
        return false;
    }
    enum dead_hold why = dead_bury_loaded(c, q, e, reason);
    if (why != HOLD_NOT)
        try_again(c, k, why, NO_ROOM_MS);
    return why == HOLD_NOT;
}

void doomed_loaded(struct core *c, const struct store_completion *done)
{
    struct queue *q = queue_by_id(c, done->queue);
    if (q) {
        q->schedule->doomed_loading = false;
        try_again(c, q->schedule, HOLD_NOT, 0);
    }
    for (size_t i = 0; i < done->count; i++) {
        bool room = q && q->schedule->doomed_hold == HOLD_NOT;
        if (!room || !bury(c, q, &done->events[i]))
            c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    }
    if (q)
        core_run_queue(c, q);
}

void doomed_describe(const struct core *c, const struct schedule *k, struct peeked *events, size_t count)
{
    int64_t next_ms = c->now.wall.ms + mono_wait_ms((mono_t){ k->doomed_at }, c->now.mono);
    for (size_t i = 0; i < count; i++) {
        struct trouble_info *t = &events[i].trouble;
        if (!doomed_has(k, events[i].sequence))
            continue;
        t->held = k->doomed_hold;
        events[i].ready_ms = t->held ? next_ms : 0;
        if (t->held && t->first_ms == 0) /* it never failed */
            t->first_ms = t->last_ms = next_ms - NO_ROOM_MS;
    }
}
