/* Delays and expiry. Each queue with a schedule has two timers, one for each clock. When one of them is due the
 * queue is run (schedule_turn): it takes out what is due and sets the timers again. A million delayed events
 * therefore cost nothing until their time, and then a step down a heap each.
 *
 * An expired event leaves at its time wherever it is: as an item, or on disk where it was never loaded. One that is
 * in flight at its expiry is recorded in `overdue` and judged when it comes back. */
#include "broker/core/queue/schedule.h"

#include "broker/core/deliver/doomed.h"
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>

/* How many delays end in one turn of a queue. The rest waits for the next turn, so that other queues are served. */
#define FIRED_AT_ONCE 16384u
/* How many events expire in one turn of a queue. Nothing of the queue is delivered before all of them have. */
#define EXPIRED_AT_ONCE 65536u
/* A queue's ttl is kept to 1/TTL_GRAIN of itself: neighbours that would expire closer together expire with the
 * first. */
#define TTL_GRAIN 4096
/* Heaps of fewer runs are not worth a sweep. */
#define SWEEP_LEAST 1024u
/* The wall clock is looked at again after this long at most, because it may be set. */
#define WALL_WAIT_MS 1000

struct schedule *schedule_of(struct core *c, struct queue *q)
{
    (void)c;
    if (q->schedule)
        return q->schedule;
    q->schedule = xcalloc(1, sizeof *q->schedule);
    q->schedule->queue = q;
    return q->schedule;
}

void schedule_free(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    if (!k)
        return;
    timers_clear(&c->wall_timers, &k->wall);
    timers_clear(&c->delay_timers, &k->mono);
    c->schedule_bytes -= k->memory;
    due_free(&k->waiting);
    due_free(&k->expiring);
    due_free(&k->backing_off);
    ranges_free(&k->overdue);
    ranges_free(&k->parked);
    ranges_free(&k->unparked);
    ranges_free(&k->doomed);
    ranges_free(&k->doomed_by_failure);
    free(k);
    q->schedule = NULL;
}

/* ------------------------------------------------------------------ what is held */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t held_in(const struct ranges *r, uint64_t from, uint64_t end)
{
    uint64_t first, behind;
    return ranges_next(r, from, &first, &behind) && first < end ? first : end;
}

static uint64_t held_item(struct queue *q, uint64_t from, uint64_t end)
{
    if (from < q->base && !q->stragglers)
        from = q->base;
    for (end = least(end, q->loaded); from < end; from++) {
        if (queue_item(q, from))
            return from;
    }
    return UINT64_MAX;
}

/* Items come last, so that only those before the first event found elsewhere are looked at. */
uint64_t schedule_held(struct queue *q, uint64_t from, uint64_t end)
{
    uint64_t spilled;
    if (q->durable)
        end = held_in(&q->durable->backlog, from, end);
    if (q->partitions && spill_set_next(&q->partitions->spill.all, from, &spilled))
        end = least(spilled, end);
    end = held_in(&q->schedule->parked, from, end);
    end = held_in(&q->schedule->unparked, from, end);
    return least(held_item(q, from, end), end);
}

static bool is_held(void *queue, const struct due_run *run)
{
    uint64_t end = run->first + run->count;
    return schedule_held(queue, run->first, end) < end;
}

/* Sweeps when the heap is twice as large as after the last sweep, so that the runs added since pay for it. */
static void add(struct schedule *k, struct due *d, uint32_t *sweep_at, const struct due_run *run)
{
    if (d->count >= SWEEP_LEAST && d->count >= *sweep_at) {
        due_sweep(d, is_held, k->queue);
        *sweep_at = d->count * 2;
    }
    due_push(d, run);
}

/* ------------------------------------------------------------------ timers */

static void set_timer(struct timers *timers, struct timer *t, int64_t at)
{
    mono_t due = { at };
    if (timer_is_set(t) ? t->due.ns != at : at != INT64_MAX)
        timers_set(timers, t, due);
}

void schedule_arm(struct core *c, struct schedule *k)
{
    int64_t wall = due_next(&k->waiting), expires = due_next(&k->expiring), mono = due_next(&k->backing_off);
    wall = expires < wall ? expires : wall;
    if (k->newest.count && k->newest.at < wall)
        wall = k->newest.at;
    mono = doomed_due(k) < mono ? doomed_due(k) : mono;
    set_timer(&c->wall_timers, &k->wall, wall);
    set_timer(&c->delay_timers, &k->mono, k->goes_on ? c->now.mono.ns : mono);
    uint64_t memory = due_memory(&k->waiting) + due_memory(&k->expiring) + due_memory(&k->backing_off);
    c->schedule_bytes += memory - k->memory;
    k->memory = memory;
}

/* The struct a timer is embedded in. */
#define OWNER(timer, member) ((struct schedule *)(void *)((char *)(timer)-offsetof(struct schedule, member)))

void schedule_wake(struct core *c)
{
    struct timer *t;
    while ((t = timers_pop(&c->delay_timers, c->now.mono)) != NULL)
        core_run_queue(c, OWNER(t, mono)->queue);
    while ((t = timers_pop(&c->wall_timers, (mono_t){ c->now.wall.ms })) != NULL)
        core_run_queue(c, OWNER(t, wall)->queue);
}

mono_t schedule_due(const struct core *c)
{
    mono_t mono = timers_next(&c->delay_timers);
    int64_t wall = timers_next(&c->wall_timers).ns;
    if (wall == INT64_MAX)
        return mono;
    int64_t wait = wall <= c->now.wall.ms ? 0 : wall - c->now.wall.ms;
    return mono_min(mono, mono_add_ms(c->now.mono, wait < WALL_WAIT_MS ? wait : WALL_WAIT_MS));
}

/* ------------------------------------------------------------------ in */

struct terms schedule_terms(const struct queue *q, const struct terms *given, int64_t now)
{
    const struct queue_settings *s = &q->settings;
    struct terms t = *given;
    if (t.not_before_ms == 0 && s->delay_ms)
        t.not_before_ms = now + (int64_t)s->delay_ms;
    if (t.not_before_ms <= now)
        t.not_before_ms = 0;
    int64_t from = t.not_before_ms ? t.not_before_ms : now;
    if (s->ttl_ms && (t.expires_ms == 0 || from + (int64_t)s->ttl_ms < t.expires_ms))
        t.expires_ms = from + (int64_t)s->ttl_ms;
    return t;
}

static void close_newest(struct schedule *k)
{
    if (k->newest.count)
        add(k, &k->expiring, &k->sweep_expiring, &k->newest);
    k->newest.count = 0;
}

/* Whether an event may expire together with those accepted before it. It never expires later than it should. */
static bool joins_newest(const struct schedule *k, uint64_t first, int64_t expires_ms)
{
    int64_t grain = (int64_t)k->queue->settings.ttl_ms / TTL_GRAIN;
    return k->newest.count && k->newest.first + k->newest.count == first && k->newest.count < UINT32_MAX / 2 &&
           expires_ms >= k->newest.at && expires_ms - k->newest.at <= grain;
}

static void expires(struct schedule *k, uint64_t first, uint64_t count, int64_t at)
{
    if (joins_newest(k, first, at)) {
        k->newest.count += (uint32_t)count;
        return;
    }
    close_newest(k);
    k->newest = (struct due_run){ at, first, (uint32_t)count };
}

void schedule_accepted(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms)
{
    struct schedule *k = schedule_of(c, q);
    if (terms->expires_ms)
        expires(k, first, count, terms->expires_ms);
    if (terms->not_before_ms)
        add(k, &k->waiting, &k->sweep_waiting, &(struct due_run){ terms->not_before_ms, first, (uint32_t)count });
    schedule_arm(c, k);
}

void schedule_delay(struct core *c, struct queue *q, uint64_t sequence, uint64_t ms)
{
    struct schedule *k = schedule_of(c, q);
    add(k, &k->backing_off, &k->sweep_backing_off,
        &(struct due_run){ mono_add_ms(c->now.mono, (int64_t)ms).ns, sequence, 1 });
    schedule_arm(c, k);
}

/* ------------------------------------------------------------------ due */

static void come_due(struct core *c, struct queue *q, uint64_t sequence)
{
    struct item *item = queue_item(q, sequence);
    if (doomed_has(q->schedule, sequence))
        return;
    if (item && item->state == ITEM_DELAYED)
        retry_due(c, q, sequence, item);
    else if (!item && ranges_has(&q->schedule->parked, sequence))
        schedule_unpark(c, q, sequence);
}

static void fire(struct core *c, struct schedule *k, struct due *d, int64_t now, uint32_t *left)
{
    struct due_run run;
    while (*left && due_pop(d, now, &run)) {
        uint64_t end = run.first + run.count;
        for (uint64_t s = run.first; (s = schedule_held(k->queue, s, end)) < end; s++)
            come_due(c, k->queue, s);
        *left -= run.count < *left ? run.count : *left;
    }
}

static void expire(struct core *c, struct queue *q, uint64_t sequence)
{
    struct item *item = queue_item(q, sequence);
    if (item && item->state == ITEM_IN_FLIGHT)
        ranges_add(&q->schedule->overdue, sequence, sequence + 1);
    else if (q->settings.dead_letter_expired)
        doomed_add(c, q, sequence, item);
    else if (item)
        queue_settle(c, q, sequence, item, CAUSE_EXPIRED);
    else
        backlog_settle(c, q, sequence, CAUSE_EXPIRED);
}

/* False: more events have expired than one turn takes. */
static bool expire_due(struct core *c, struct schedule *k)
{
    struct due_run run;
    uint32_t left = EXPIRED_AT_ONCE;
    if (k->newest.count && k->newest.at <= c->now.wall.ms)
        close_newest(k);
    while (due_pop(&k->expiring, c->now.wall.ms, &run)) {
        uint64_t s = run.first, end = s + run.count;
        for (; left && (s = schedule_held(k->queue, s, end)) < end; s++, left--)
            expire(c, k->queue, s);
        if (s < end) {
            due_push(&k->expiring, &(struct due_run){ run.at, s, (uint32_t)(end - s) });
            return false;
        }
    }
    return true;
}

/* Expiry comes first: an event that expires before its delay ends, or with it, never becomes ready. */
bool schedule_turn(struct core *c, struct queue *q)
{
    struct schedule *k = q->schedule;
    uint32_t left = FIRED_AT_ONCE;
    bool all = MUTATED(ignore_expiry) || expire_due(c, k);
    if (all) {
        doomed_run(c, q);
        fire(c, k, &k->backing_off, c->now.mono.ns, &left);
        fire(c, k, &k->waiting, c->now.wall.ms + (MUTATED(fire_early) ? 50 : 0), &left);
    }
    k->goes_on = !all;
    schedule_arm(c, k);
    return all;
}

/* ------------------------------------------------------------------ out */

bool schedule_expire_overdue(struct core *c, struct queue *q, uint64_t sequence, struct item *item)
{
    if (!ranges_has(&q->schedule->overdue, sequence))
        return false;
    if (q->settings.dead_letter_expired)
        doomed_add(c, q, sequence, item);
    else
        queue_settle(c, q, sequence, item, CAUSE_EXPIRED);
    return true;
}

void schedule_gone(struct queue *q, uint64_t sequence)
{
    struct schedule *k = q->schedule;
    doomed_remove(k, sequence);
    if (k->overdue.count)
        ranges_remove(&k->overdue, sequence, sequence + 1);
}

enum reason schedule_cancel(struct core *c, struct queue *q, uint64_t sequence)
{
    struct item *item = queue_item(q, sequence);
    if (item && item->state != ITEM_DELAYED)
        return REASON_not_delayed;
    if (item) {
        queue_settle(c, q, sequence, item, CAUSE_PURGED);
        return REASON_ok;
    }
    enum backlog_place where = backlog_where(q, sequence);
    const struct trouble *t = trouble_find(q, sequence);
    if (where == BACKLOG_NOWHERE)
        return t && t->dead ? REASON_not_delayed : REASON_unknown_event;
    if (where != BACKLOG_PARKED)
        return REASON_not_delayed;
    backlog_settle(c, q, sequence, CAUSE_PURGED);
    return REASON_ok;
}

/* ------------------------------------------------------------------ description */

/* Index of the first event of a page, which is sorted by sequence, that may be in the run; `count`: none is. */
static size_t first_of(const struct peeked *events, size_t count, const struct due_run *run)
{
    size_t low = 0, high = count;
    if (run->first > events[count - 1].sequence || run->first + run->count <= events[0].sequence)
        return count; /* the usual case */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (events[middle].sequence < run->first)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_in(const struct peeked *e, const struct due_run *run)
{
    return e->sequence - run->first < run->count;
}

static void describe_run(struct peeked *events, size_t count, const struct due_run *run, int64_t ready_ms)
{
    for (size_t i = first_of(events, count, run); i < count && is_in(&events[i], run); i++)
        events[i].ready_ms = ready_ms;
}

static void describe_expiry_run(struct peeked *events, size_t count, const struct due_run *run)
{
    for (size_t i = first_of(events, count, run); i < count && is_in(&events[i], run); i++)
        events[i].expires_ms = run->at;
}

void schedule_describe(const struct core *c, const struct queue *q, struct peeked *events, size_t count)
{
    const struct schedule *k = q->schedule;
    for (uint32_t i = 0; i < k->waiting.count; i++)
        describe_run(events, count, &k->waiting.runs[i], k->waiting.runs[i].at);
    for (uint32_t i = 0; i < k->backing_off.count; i++) {
        const struct due_run *run = &k->backing_off.runs[i];
        describe_run(events, count, run, c->now.wall.ms + mono_wait_ms((mono_t){ run->at }, c->now.mono));
    }
    if (k->doomed_events)
        doomed_describe(c, k, events, count);
}

void schedule_describe_expiry(const struct queue *q, struct peeked *events, size_t count)
{
    const struct schedule *k = q->schedule;
    for (uint32_t i = 0; i < k->expiring.count; i++)
        describe_expiry_run(events, count, &k->expiring.runs[i]);
    if (k->newest.count)
        describe_expiry_run(events, count, &k->newest);
}

bool schedule_validate(const struct schedule *k)
{
    return due_validate(&k->waiting) && due_validate(&k->expiring) && due_validate(&k->backing_off) &&
           ranges_count_in(&k->parked, 0, UINT64_MAX) == k->parked_events &&
           ranges_count_in(&k->unparked, 0, UINT64_MAX) == k->unparked_events && ranges_validate(&k->parked) &&
           ranges_validate(&k->unparked) && ranges_count_in(&k->doomed, 0, UINT64_MAX) == k->doomed_events &&
           ranges_count_in(&k->doomed_by_failure, 0, UINT64_MAX) <= k->doomed_events;
}
