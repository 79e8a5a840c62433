#include "broker/core/partition/spill.h"
#include "broker/core/deliver/trouble.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/items.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ memory */

static void count_memory(struct partitions *p)
{
    struct spill *a = &p->spill;
    uint64_t now = a->all.memory + a->lines;
    if (a->total)
        *a->total += now - a->counted;
    a->counted = now;
}

static void count_line(struct partitions *p, const struct spill_line *line, size_t capacity_before)
{
    p->spill.lines += line->ranges.capacity * sizeof(struct range);
    p->spill.lines -= capacity_before * sizeof(struct range);
    count_memory(p);
}

bool spill_is_exhausted(const struct core *c)
{
    return c->spill_bytes >= c->config.memory_budget / SPILL_SHARE;
}

void spill_line_free(struct partitions *p, struct spill_line *line)
{
    size_t before = line->ranges.capacity;
    ranges_free(&line->ranges);
    line->events = 0;
    count_line(p, line, before);
}

void spill_free(struct partitions *p)
{
    spill_set_free(&p->spill.all);
    count_memory(p);
}

/* ------------------------------------------------------------------ lines */

static void remove_from(struct partitions *p, struct spill_line *line, uint64_t first, uint64_t end)
{
    size_t before = line->ranges.capacity;
    line->events -= ranges_remove(&line->ranges, first, end);
    if (line->ranges.count == 0)
        ranges_free(&line->ranges); /* an empty one would keep memory */
    count_line(p, line, before);
}

void spill_remove(struct partitions *p, struct spill_line *line, uint64_t sequence)
{
    remove_from(p, line, sequence, sequence + 1);
}

void spill_change_lines(struct partitions *p, struct spill_line *from, struct spill_line *to, uint64_t sequence)
{
    size_t before = to->ranges.capacity;
    spill_remove(p, from, sequence);
    to->events += ranges_add(&to->ranges, sequence, sequence + 1);
    count_line(p, to, before);
}

bool spill_first(struct partitions *p, struct spill_line *line, uint64_t *first)
{
    uint64_t end, live;
    while (ranges_next(&line->ranges, 0, first, &end)) {
        if (!spill_set_next(&p->spill.all, *first, &live)) {
            spill_line_free(p, line); /* every event of it has left */
            return false;
        }
        if (live == *first)
            return true;
        remove_from(p, line, *first, live);
    }
    return false;
}

uint64_t spill_count(struct partitions *p, struct spill_line *line)
{
    uint64_t first;
    return line->events && spill_first(p, line, &first) ? line->events : 0;
}

bool spill_has_before(struct partitions *p, struct spill_line *line, uint64_t sequence)
{
    uint64_t first;
    return spill_first(p, line, &first) && first < sequence;
}

uint32_t spill_partition(const struct partitions *p, uint64_t sequence)
{
    uint32_t i = 0;
    while (i + 1 < p->count && !ranges_has(&p->at[i].spill.ranges, sequence))
        i++;
    return i;
}

/* ------------------------------------------------------------------ spilling */

static void spill(struct core *c, struct queue *q, struct spill_line *line, uint64_t sequence, struct item *item)
{
    struct partitions *p = q->partitions;
    size_t before = line->ranges.capacity;
    assert(!spill_is_exhausted(c));
    c->disk->ops->release(c->disk, q->id, item->at);
    q->durable->backlog_bytes += item->size;
    item->state = ITEM_GONE;
    items_gone(q, sequence, item);
    p->spill.total = &c->spill_bytes;
    spill_set_add(&p->spill.all, sequence);
    line->events += ranges_add(&line->ranges, sequence, sequence + 1);
    count_line(p, line, before);
}

static bool may_leave(const struct queue *q, uint64_t sequence, const struct item *item)
{
    return item->state == ITEM_READY && partition_counts(q, sequence, item) && sequence < q->durable->end;
}

bool spill_join(struct core *c, struct queue *q, struct spill_line *line, uint64_t sequence, struct item *item)
{
    if (line->events == 0 || MUTATED(pass_spilled) || !may_leave(q, sequence, item) || spill_is_exhausted(c) ||
        !spill_has_before(q->partitions, line, sequence))
        return false;
    spill(c, q, line, sequence, item);
    return true;
}

static int ascending(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* A sorted array is a heap, too; it is mostly sorted already. */
static void sort_heap(struct heap *h)
{
    uint32_t i = 1;
    while (i < h->count && h->at[i - 1] <= h->at[i])
        i++;
    if (i < h->count)
        qsort(h->at, h->count, sizeof *h->at, ascending);
}

/* Splits a heap: it keeps the first `most` events that may be spilled and all that may not. The others go to `out`;
 * returns how many. */
static uint32_t split(struct queue *q, struct heap *h, uint32_t most, uint64_t *out)
{
    uint32_t kept = 0, gone = 0, stay = 0;
    sort_heap(h);
    for (uint32_t i = 0; i < h->count; i++) {
        uint64_t sequence = h->at[i];
        const struct item *item = queue_item(q, sequence);
        if (!item || item->state != ITEM_READY || (kept && h->at[kept - 1] == sequence))
            continue; /* it has left, or is there twice */
        bool goes = may_leave(q, sequence, item);
        if (goes && stay >= most) {
            out[gone++] = sequence;
            continue;
        }
        stay += goes;
        h->at[kept++] = sequence;
    }
    h->count = kept;
    return gone;
}

static void move_out(struct core *c, struct queue *q, struct spill_line *line, uint64_t sequence)
{
    struct item *item = queue_item(q, sequence);
    if (!item || spill_is_exhausted(c))
        return;
    partition_uncount(q, sequence, item);
    spill(c, q, line, sequence, item);
}

/* Spills a heap to a line, except for the first `most` events. */
static void thin(struct core *c, struct queue *q, struct heap *h, struct spill_line *line, uint32_t most)
{
    uint64_t first;
    if (h->count <= most)
        return;
    uint64_t *out = xmalloc(h->count * sizeof *out);
    uint32_t count = split(q, h, most, out);
    bool others = spill_first(q->partitions, line, &first) && count && first > out[0];
    for (uint32_t i = 0; i < count; i++) /* in the order in which the fewest ranges of the line have to move */
        move_out(c, q, line, out[others ? count - 1 - i : i]);
    for (uint32_t i = 0; i < count; i++) { /* not spilled, as the memory for that was exhausted */
        if (queue_item(q, out[i]))
            heap_push(h, out[i]);
    }
    free(out);
    heap_fit(h); /* others may stall after it, and their heaps must not add up */
}

/* ------------------------------------------------------------------ what is stalled */

/* Whether the partition's events in memory can be delivered in this turn. */
static bool flows(const struct queue *q, struct partition *at)
{
    return partition_is_reached(q, at) && !partition_awaits_disk(q->partitions, at);
}

/* When the key counts as stalled, if nothing happens before: SPILL_STALLED_MS after the delivery of its current
 * event, and if that can be delivered in this turn, SPILL_STALLED_MS from now. In all other cases it is stalled now.
 * So is a key whose event failed before, as that may fail for ever, however short each delivery is. */
static mono_t stalled_at(const struct core *c, struct queue *q, const struct key *k)
{
    struct partitions *p = q->partitions;
    const struct item *item = queue_item(q, k->current);
    const struct trouble *t = q->troubles ? trouble_find(q, k->current) : NULL;
    if (!item || (t && t->failures))
        return c->now.mono;
    if (item->state == ITEM_IN_FLIGHT)
        return mono_add_ms(c->leases[item->lease]->delivered, SPILL_STALLED_MS);
    bool comes = item->state == ITEM_READY && flows(q, &p->at[k->hash % p->count]);
    return comes ? mono_add_ms(c->now.mono, SPILL_STALLED_MS) : c->now.mono;
}

/* How many partitions and keys are stalled and have events in memory. *next: when the next key is stalled. */
static uint32_t count_stalled(const struct core *c, struct queue *q, mono_t *next)
{
    struct partitions *p = q->partitions;
    uint32_t count = 0;
    *next = (mono_t){ INT64_MAX };
    for (uint32_t i = 0; i < p->count; i++)
        count += p->at[i].ready.count && !flows(q, &p->at[i]);
    for (const struct key *k = p->keys; k; k = k->hh.next) {
        mono_t at = stalled_at(c, q, k);
        count += k->waiting.count && at.ns <= c->now.mono.ns;
        if (k->waiting.count && at.ns > c->now.mono.ns)
            *next = mono_min(*next, at);
    }
    return count;
}

static void thin_all(struct core *c, struct queue *q, uint32_t most)
{
    struct partitions *p = q->partitions;
    for (uint32_t i = 0; i < p->count; i++) {
        if (!flows(q, &p->at[i]))
            thin(c, q, &p->at[i].ready, &p->at[i].spill, most);
    }
    for (struct key *k = p->keys; k; k = k->hh.next) {
        if (stalled_at(c, q, k).ns <= c->now.mono.ns)
            thin(c, q, &k->waiting, &k->spill, most);
    }
}

/* How many events each stalled partition or key keeps in memory: an equal share of half the look-ahead, so that it
 * can go on at once when it is no longer stalled. */
static uint32_t share_of(const struct core *c, const struct queue *q, uint32_t stalled)
{
    const struct partitions *p = q->partitions;
    uint64_t each = p->sorted_bytes / (p->sorted + 1) + 1, events = c->config.look_ahead / 2;
    uint64_t by_bytes = c->config.look_ahead_bytes / 2 / each;
    return (uint32_t)((events < by_bytes ? events : by_bytes) / stalled);
}

/* Counting walks over all keys. If the look-ahead stays full, it is not repeated before another key is stalled:
 * until then the timer is set. */
bool spill_make_room(struct core *c, struct queue *q)
{
    struct spill *a = &q->partitions->spill;
    mono_t next = { INT64_MAX };
    if (timer_is_set(&a->stalled))
        return false;
    uint32_t stalled = spill_is_exhausted(c) || MUTATED(spill_nothing) ? 0 : count_stalled(c, q, &next);
    for (uint32_t most = stalled ? share_of(c, q, stalled) : 0; stalled; most /= 2) {
        thin_all(c, q, most);
        if (most == 0 || !partition_is_full(c, q))
            break;
    }
    if (!partition_is_full(c, q))
        return true;
    a->queue = q;
    if (next.ns != INT64_MAX)
        timers_set(&c->spill_timers, &a->stalled, next);
    return false;
}

/* The struct a timer is embedded in. */
#define OWNER(timer) ((struct spill *)(void *)((char *)(timer)-offsetof(struct spill, stalled)))

void spill_wake(struct core *c)
{
    struct timer *t;
    while ((t = timers_pop(&c->spill_timers, c->now.mono)) != NULL)
        core_run_queue(c, OWNER(t)->queue);
}

void spill_delivery_failed(struct core *c, struct queue *q)
{
    if (!timer_is_set(&q->partitions->spill.stalled))
        return;
    timers_clear(&c->spill_timers, &q->partitions->spill.stalled);
    core_run_queue(c, q);
}

void spill_forget(struct core *c, struct queue *q)
{
    if (q->partitions)
        timers_clear(&c->spill_timers, &q->partitions->spill.stalled);
}

/* ------------------------------------------------------------------ leaving */

void spill_leave_set(struct partitions *p, uint64_t sequence)
{
    spill_set_remove(&p->spill.all, sequence);
    count_memory(p);
}

uint64_t spill_purge(struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    uint64_t count = p->spill.all.events, first;
    if (count == 0)
        return 0;
    spill_set_next(&p->spill.all, 0, &first);
    uint64_t at_once = backlog_purge_from(c, q, first);
    if (at_once == 0) {
        while (spill_set_next(&p->spill.all, 0, &first))
            backlog_settle(c, q, first, CAUSE_PURGED);
        return count;
    }
    keys_purge_spilled(q);
    spill_set_free(&p->spill.all);
    count_memory(p);
    return at_once;
}
