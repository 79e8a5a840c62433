/* Delayed events of queues on disk: parked until they are due, then unparked and read; and the schedule after a
 * restart. */
#include "broker/core/queue/schedule.h"

#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"

/* How many unparked events that were read may wait for their delivery. */
#define UNPARKED_AHEAD 1024u
#define LOAD_BYTES     (1u << 20)
/* Wanted events with a wider gap between them are read by separate loads. */
#define GAP_MOST 32u

/* ------------------------------------------------------------------ parked */

void schedule_park(struct queue *q, uint64_t first, uint64_t count)
{
    ranges_add(&q->schedule->parked, first, first + count);
    q->schedule->parked_events += count;
}

void schedule_park_event(struct core *c, struct queue *q, uint64_t sequence)
{
    struct schedule *k = q->schedule;
    enum backlog_place where = backlog_where(q, sequence);
    if (where == BACKLOG_PARKED)
        return;
    if (where == BACKLOG_LINE) {
        q->durable->backlog_events -= ranges_remove(&q->durable->backlog, sequence, sequence + 1);
    } else if (where == BACKLOG_SPILLED) {
        spill_leave_set(q->partitions, sequence);
    } else {
        ranges_remove(&k->unparked, sequence, sequence + 1);
        k->unparked_events--;
    }
    schedule_park(q, sequence, 1);
    q->ready--;
    q->delayed++;
    if (where == BACKLOG_SPILLED)
        partition_release_key(c, q, sequence);
}

void schedule_unpark(struct core *c, struct queue *q, uint64_t sequence)
{
    struct schedule *k = q->schedule;
    ranges_remove(&k->parked, sequence, sequence + 1);
    k->parked_events--;
    q->delayed--;
    q->ready++;
    if (sequence >= q->loaded) {
        backlog_add(q, sequence, 1, 0); /* backlog_bytes includes it already */
    } else {
        ranges_add(&k->unparked, sequence, sequence + 1);
        k->unparked_events++;
    }
    core_run_queue(c, q);
}

uint64_t schedule_purge(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    uint64_t count = k->parked_events + k->unparked_events, first, end;
    while (ranges_next(&k->parked, 0, &first, &end) || ranges_next(&k->unparked, 0, &first, &end))
        backlog_settle(c, q, first, CAUSE_PURGED);
    k->waiting.count = k->backing_off.count = 0; /* delayed items were purged before */
    schedule_arm(c, k);
    return count;
}

/* ------------------------------------------------------------------ unparked events are read */

uint64_t schedule_load_bytes(const struct queue *q, const struct ranges *wanted, uint64_t first, uint64_t end)
{
    uint64_t each = q->durable->backlog_bytes / backlog_on_disk(q) + 1, next, behind;
    while ((end - first) * each < LOAD_BYTES && ranges_next(wanted, end, &next, &behind) && next - end <= GAP_MOST)
        end = behind;
    uint64_t bytes = (end - first) * each * 5 / 4;
    return bytes < LOAD_BYTES ? bytes : LOAD_BYTES;
}

void schedule_want(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    uint64_t first, end;
    if (k->loading || k->unparked_events == 0 || q->returned.count > UNPARKED_AHEAD || partition_is_full(c, q) ||
        c->failed)
        return;
    if (!ranges_next(&k->unparked, 0, &first, &end) || first >= q->durable->end ||
        first >= q->next_ready + UNPARKED_AHEAD) /* it is far from being delivered */
        return;
    k->loading = true;
    c->disk->ops->load(c->disk, q->id, first, schedule_load_bytes(q, &k->unparked, first, end),
                       load_tag(LOAD_UNPARKED, q->id));
}

bool schedule_comes(const struct queue *q)
{
    const struct schedule *k = q->schedule;
    uint64_t first, end;
    if (k->loading)
        return true;
    if (q->partitions ? partition_awaits_mark(q) : q->returned.count && q->returned.at[0] >= q->durable->mark)
        return true;
    return k->unparked_events && ranges_next(&k->unparked, 0, &first, &end) && first < q->durable->end &&
           first < q->next_ready + UNPARKED_AHEAD;
}

void schedule_loaded(struct core *c, const struct store_completion *done)
{
    struct queue *q = queue_by_id(c, done->queue);
    for (size_t i = 0; i < done->count; i++) {
        const struct store_loaded *e = &done->events[i];
        if (q && ranges_has(&q->schedule->unparked, e->sequence))
            backlog_place(c, q, e);
        else
            c->disk->ops->release(c->disk, done->queue, e->locator);
    }
    if (!q)
        return;
    q->schedule->loading = false;
    core_run_queue(c, q);
}

/* ------------------------------------------------------------------ after a restart */

void schedule_restore(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms)
{
    struct schedule *k = schedule_of(c, q);
    if (terms->not_before_ms)
        due_push(&k->waiting, &(struct due_run){ terms->not_before_ms, first, (uint32_t)count });
    if (terms->expires_ms)
        due_push(&k->expiring, &(struct due_run){ terms->expires_ms, first, (uint32_t)count });
}

/* Parks those events of [first, end) that are in the backlog. */
static void park_live(struct queue *q, uint64_t first, uint64_t end)
{
    struct durable *d = q->durable;
    uint64_t from, to;
    while (ranges_next(&d->backlog, first, &from, &to) && from < end) {
        to = to < end ? to : end;
        d->backlog_events -= ranges_remove(&d->backlog, from, to);
        schedule_park(q, from, to - from);
        first = to;
    }
}

/* What is left of a back-off after a restart. Only the wall clock says how long the broker was down; if it was set back
 * meanwhile, that is unknown, and the back-off begins again. */
static uint64_t rest_of(const struct core *c, const struct trouble *t)
{
    int64_t over = c->now.wall.ms - t->since_ms;
    if (over < 0)
        return t->delay_ms;
    return (uint64_t)over < t->delay_ms ? t->delay_ms - (uint64_t)over : 0;
}

uint64_t schedule_backoff_left(const struct core *c, const struct queue *q, uint64_t sequence)
{
    const struct trouble *t = q->troubles && sequence < q->durable->recovered_end ? trouble_find(q, sequence) : NULL;
    return t && !t->dead ? rest_of(c, t) : 0;
}

/* Not with an order by key: there an event that backs off blocks its key, so it must be read first (see
 * partition.c). */
static void resume_backoffs(struct core *c, struct queue *q)
{
    bool ordered = q->partitions && q->partitions->ordered;
    for (const struct trouble *t = ordered ? NULL : q->troubles; t; t = t->hh.next) {
        uint64_t rest = rest_of(c, t);
        if (t->dead || rest == 0 || !ranges_has(&q->durable->backlog, t->sequence))
            continue;
        schedule_delay(c, q, t->sequence, rest);
        park_live(q, t->sequence, t->sequence + 1);
    }
}

void schedule_recover(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    for (uint32_t i = 0; k && i < k->waiting.count; i++) {
        const struct due_run *run = &k->waiting.runs[i];
        if (run->at > c->now.wall.ms)
            park_live(q, run->first, run->first + run->count);
    }
    struct due_run past; /* what they delayed is ready, and may be backing off since */
    while (k && due_pop(&k->waiting, c->now.wall.ms, &past)) {
    }
    resume_backoffs(c, q);
    if (q->schedule)
        schedule_arm(c, q->schedule);
}
