/* Reads spilled events back: one load at a time, for a partition whose owner wants more or for a key that is free. A
 * load begins with the first event of the line. Those of its other events that are wanted as well are kept, the rest
 * is released. */
#include "broker/core/partition/partition.h"
#include "broker/core/partition/spill.h"
#include "broker/core/queue/schedule.h"

#include "base/mutation.h"

/* A partition with fewer events in memory reads more; an eighth of the look-ahead if that is less. */
#define LOW_MOST 512u
/* About how many events of a key are in memory: they are delivered one at a time. */
#define KEY_AHEAD 64u

static uint32_t low_of(const struct core *c)
{
    uint32_t low = c->config.look_ahead / 8;
    return low == 0 ? 1 : low < LOW_MOST ? low : LOW_MOST;
}

/* Whether spilled events of the partition should be read, from *first on: few are in memory, or those come after a
 * spilled one. Never while nothing of the partition can be delivered: the events would be spilled again as soon as
 * the look-ahead is full, and read again, without end. */
static bool is_low(const struct core *c, struct queue *q, struct partition *at, uint64_t *first)
{
    return at->spill.events && partition_is_reached(q, at) && spill_first(q->partitions, &at->spill, first) &&
           (at->ready.count < low_of(c) || *first < at->ready.at[0]);
}

/* ------------------------------------------------------------------ loading */

static void read_from(struct core *c, struct queue *q, const struct spill_line *line, uint64_t first, uint64_t most)
{
    uint64_t end, from;
    ranges_next(&line->ranges, first, &from, &end);
    uint64_t each = q->durable->backlog_bytes / backlog_on_disk(q) + 1;
    uint64_t bytes = schedule_load_bytes(q, &line->ranges, first, end);
    q->partitions->spill.reading = true;
    bytes = bytes < most * each * 5 / 4 ? bytes : most * each * 5 / 4;
    c->disk->ops->load(c->disk, q->id, first, bytes, load_tag(LOAD_SPILLED, q->id));
}

/* A full look-ahead keeps a partition from reading, with one exception: if it can deliver nothing before its next
 * event is read, that event is read all the same. Otherwise it would wait for stalled others, or for itself. With an
 * order by key the event may have to wait behind its key; it then does so spilled, and the next one is read. */
static bool read_partition(struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    uint64_t first;
    for (uint32_t i = 0; i < p->count; i++) {
        uint32_t partition = (p->spill.served + i) % p->count;
        if (!is_low(c, q, &p->at[partition], &first))
            continue;
        bool room = partition_has_room(c, q);
        if (!room && (!partition_awaits_disk(p, &p->at[partition]) || MUTATED(await_room)))
            continue;
        p->spill.served = partition + 1;
        read_from(c, q, &p->at[partition].spill, first, room ? UINT32_MAX : 1);
        return true;
    }
    return false;
}

static bool read_key(struct core *c, struct queue *q)
{
    struct key *k = q->partitions->spill.wanting;
    if (!k)
        return false;
    /* To the end of the list: should the load not bring its event, the other keys are served before it is tried
     * again. */
    DL_DELETE2(q->partitions->spill.wanting, k, wanting_prev, wanting_next);
    DL_APPEND2(q->partitions->spill.wanting, k, wanting_prev, wanting_next);
    read_from(c, q, &k->spill, k->current, KEY_AHEAD);
    return true;
}

void spill_want(struct core *c, struct queue *q)
{
    struct spill *a = &q->partitions->spill;
    if (a->all.events == 0 || a->reading || c->failed)
        return;
    a->keys_turn = !a->keys_turn;
    if (a->keys_turn ? !read_key(c, q) && !read_partition(c, q) : !read_partition(c, q))
        read_key(c, q);
}

bool spill_comes(const struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    uint64_t first;
    if (p->spill.all.events == 0)
        return false;
    if (p->spill.reading || p->spill.wanting)
        return true;
    for (uint32_t i = 0; i < p->count; i++) {
        if (is_low(c, q, &p->at[i], &first))
            return true;
    }
    return false;
}

bool spill_comes_without_room(const struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    uint64_t first;
    if (p->spill.reading || p->spill.wanting)
        return true;
    for (uint32_t i = 0; i < p->count; i++) {
        if (partition_awaits_disk(p, &p->at[i]) && is_low(c, q, &p->at[i], &first))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ loaded */

/* The line that a loaded event is in. */
struct place {
    struct key *key; /* the key in whose line it is; NULL: it is in its partition's */
    uint32_t partition;
    struct key
        *before; /* in its partition's line: its key, if it has to wait for another event of that; NULL: it does not */
};

static struct place place_of(const struct core *c, struct queue *q, const struct store_loaded *e)
{
    struct partitions *p = q->partitions;
    uint64_t hash = partition_key(c, q, &(struct item){ .at = e->locator });
    struct key *k = p->ordered && hash ? key_find(q, hash) : NULL;
    bool behind = k && ranges_has(&k->spill.ranges, e->sequence);
    return (struct place){
        .key = behind ? k : NULL,
        .partition = hash ? (uint32_t)(hash % p->count) : spill_partition(p, e->sequence),
        .before = !behind && key_blocker(q, p->ordered ? hash : 0, e->sequence) ? k : NULL,
    };
}

/* Whether the key needs events that wait behind its current one: it is not parked, few are in memory, and there is
 * room. Its current event is needed even without room. */
static bool key_wants(struct queue *q, const struct key *k, bool full)
{
    const struct item *current = queue_item(q, k->current);
    return k->wanting || (!full && k->waiting.count < KEY_AHEAD && current && current->state != ITEM_DELAYED);
}

static bool is_wanted(const struct core *c, struct queue *q, const struct place *at, uint64_t sequence)
{
    struct partitions *p = q->partitions;
    bool full = partition_is_full(c, q);
    struct spill_line *line = at->key ? &at->key->spill : &p->at[at->partition].spill;
    uint64_t first;
    if (!spill_first(p, line, &first) || first != sequence)
        return false; /* an earlier one of its line must come first */
    if (at->key)
        return key_wants(q, at->key, full);
    struct partition *partition = &p->at[at->partition];
    return partition_wants(partition) && (!full || partition_awaits_disk(p, partition));
}

static void put_back(struct core *c, struct queue *q, const struct place *at, const struct store_loaded *e)
{
    struct partitions *p = q->partitions;
    struct key *k = at->key;
    spill_remove(p, k ? &k->spill : &p->at[at->partition].spill, e->sequence);
    struct item *item = backlog_item(c, q, e, BACKLOG_SPILLED);
    item->place = (uint8_t)(at->partition + 1);
    if (k && k->current != e->sequence) {
        heap_push(&k->waiting, e->sequence);
        partition_is_ready(q, e->sequence);
        partition_count(q, e->sequence, item);
        return;
    }
    if (k)
        key_unwant(p, k);
    partition_returned(c, q, e->sequence, item);
}

void spill_loaded(struct core *c, const struct store_completion *done)
{
    struct queue *q = queue_by_id(c, done->queue);
    struct partitions *p = q ? q->partitions : NULL; /* the queue's partitions may have been removed meanwhile */
    if (p && partition_is_full(c, q))
        spill_make_room(c, q);
    for (size_t i = 0; i < done->count; i++) {
        const struct store_loaded *e = &done->events[i];
        bool there = p && spill_set_has(&p->spill.all, e->sequence);
        struct place at = there ? place_of(c, q, e) : (struct place){ 0 };
        bool wanted = there && is_wanted(c, q, &at, e->sequence), stays = at.before && partition_is_full(c, q);
        if (wanted && !stays) {
            put_back(c, q, &at, e);
            continue;
        }
        if (wanted)
            spill_change_lines(p, &p->at[at.partition].spill, &at.before->spill, e->sequence);
        c->disk->ops->release(c->disk, done->queue, e->locator);
    }
    if (!p)
        return;
    p->spill.reading = false;
    core_run_queue(c, q);
}
