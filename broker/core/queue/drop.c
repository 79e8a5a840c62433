/* Drops the oldest events of a queue to make room for new ones (`overflow: drop_oldest`), wherever the oldest is.
 *
 * An event that is on disk only is dropped without being read, unless `dead_letter_dropped` is set: then its bytes
 * are needed for the dead letter and are read first. The publisher waits for that read as for any write, even if it
 * asked not to wait. One load reads and drops as many events as the waiting publishers need. Until its bytes are
 * there each event stays where it is, in its order; if it is delivered meanwhile it is not dropped.
 *
 * If there is no room for the dead, the waiting publishers are refused. */
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#define LOAD_BYTES (1u << 20)
/* Least bytes of a load, because more publishers usually follow the first in the same turn. */
#define LOAD_LEAST (16u << 10)
/* After the dead-letter queue had no room, nothing is read for it for so long. */
#define NO_ROOM_MS 5000

/* The oldest ready event that is on disk only; UINT64_MAX: there is none. */
static uint64_t oldest_on_disk(const struct queue *q)
{
    uint64_t oldest = UINT64_MAX, first, end;
    if (!q->durable)
        return oldest;
    if (ranges_next(&q->durable->backlog, 0, &first, &end))
        oldest = first;
    if (q->schedule && ranges_next(&q->schedule->unparked, 0, &first, &end) && first < oldest)
        oldest = first;
    if (q->partitions && spill_set_next(&q->partitions->spill.all, 0, &first) && first < oldest)
        oldest = first;
    return oldest;
}

/* The room that waiting publishers lack. */
struct need {
    uint64_t events, bytes;
};

static struct need need_of(const struct core *c, const struct queue *q)
{
    struct room room = queue_room(c, q);
    struct need need = { .events = q->waiting };
    for (const struct waiting *w = q->waiters; w; w = w->next_waiting)
        need.bytes += w->size;
    need.events -= room.events < need.events ? room.events : need.events;
    need.bytes -= room.bytes < need.bytes ? room.bytes : need.bytes;
    return need;
}

/* ------------------------------------------------------------------ asked for */

static void read_from(struct core *c, struct queue *q, uint64_t first)
{
    struct durable *d = q->durable;
    uint64_t each = d->backlog_bytes / backlog_on_disk(q) + 1;
    struct need need = need_of(c, q);
    uint64_t bytes = need.events * each > need.bytes ? need.events * each : need.bytes;
    bytes = bytes < LOAD_LEAST ? LOAD_LEAST : bytes * 5 / 4;
    d->drop_reading = true;
    c->disk->ops->load(c->disk, q->id, first, bytes < LOAD_BYTES ? bytes : LOAD_BYTES, load_tag(LOAD_DROP, q->id));
}

/* Starts reading the event, if no load is in progress. False: it cannot be dead-lettered now. */
static bool want(struct core *c, struct queue *q, uint64_t first)
{
    struct durable *d = q->durable;
    bool own = q->settings.dead_letter[0] == '\0';
    if (c->failed || (own ? q->dead >= q->settings.dead_capacity : d->drop_again.ns > c->now.mono.ns))
        return false;
    if (!d->drop_reading && first < d->end) /* else the queue is run again once the event is durable */
        read_from(c, q, first);
    return true;
}

bool queue_drop_oldest(struct core *c, struct queue *q)
{
    uint64_t sequence, first = oldest_on_disk(q);
    struct item *item = queue_oldest_ready(q, &sequence);
    if (q->durable)
        q->durable->drop_waits = false;
    if (first != UINT64_MAX && (!item || first < sequence)) {
        if (!q->settings.dead_letter_dropped)
            return backlog_settle(c, q, first, CAUSE_DROPPED);
        q->durable->drop_waits = want(c, q, first);
        return false;
    }
    if (!item)
        return false;
    if (q->settings.dead_letter_dropped)
        return dead_try(c, q, sequence, item, DEAD_DROPPED) == HOLD_NOT;
    queue_settle(c, q, sequence, item, CAUSE_DROPPED);
    return true;
}

bool drop_is_awaited(const struct queue *q)
{
    return q->durable && q->settings.overflow == OVERFLOW_DROP_OLDEST && (q->durable->drop_waits || q->waiting);
}

void drop_for_retry(struct queue *q)
{
    if (q->durable && q->durable->drop_waits)
        q->durable->drop_owed = true;
}

/* ------------------------------------------------------------------ read */

static bool drops(const struct queue *q)
{
    return q->settings.overflow == OVERFLOW_DROP_OLDEST && q->settings.dead_letter_dropped;
}

static bool is_met(const struct queue *q, const struct need *need)
{
    return need->events == 0 && need->bytes == 0 && !q->durable->drop_owed;
}

static void subtract(struct need *need, uint64_t bytes)
{
    need->events -= need->events > 0;
    need->bytes -= bytes < need->bytes ? bytes : need->bytes;
}

/* Drops those of the loaded events that are still the oldest, as many as are needed. Returns how many. */
static size_t drop(struct core *c, struct queue *q, const struct store_completion *done)
{
    uint64_t in_memory;
    struct need need = need_of(c, q);
    size_t count = 0;
    if (!queue_oldest_ready(q, &in_memory))
        in_memory = UINT64_MAX;
    for (; count < done->count && drops(q) && !is_met(q, &need); count++) {
        const struct store_loaded *e = &done->events[count];
        if (e->sequence > in_memory || e->sequence != oldest_on_disk(q))
            break;
        if (dead_bury_loaded(c, q, e, DEAD_DROPPED) != HOLD_NOT) {
            q->durable->drop_again = mono_add_ms(c->now.mono, NO_ROOM_MS);
            break;
        }
        q->durable->drop_owed = false;
        subtract(&need, e->size);
    }
    return count;
}

void drop_loaded(struct core *c, const struct store_completion *done)
{
    struct queue *q = queue_by_id(c, done->queue);
    for (size_t i = q ? drop(c, q, done) : 0; i < done->count; i++)
        c->disk->ops->release(c->disk, done->queue, done->events[i].locator);
    if (!q)
        return;
    q->durable->drop_reading = q->durable->drop_waits = false;
    core_run_queue(c, q); /* to admit those that wait */
}
