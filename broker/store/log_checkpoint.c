/* Checkpoints: where every live event is, and the core's state, as of one group. Recovery reads the newest and replays what was
 * written after it, so restart time follows what is live and one stretch of log, never history.
 *
 * A checkpoint also is what lets segments go: a settlement must live as long as a copy of its event can come back (docs/protocol.md,
 * D.4). Once a durable checkpoint says that nothing in a segment is live, nothing in it is needed: neither its events
 * nor the settlements, notes and moves in it, which the checkpoint carries.
 *
 * File: magic, version, size, checksum (32 B), then varints; see put_all and take_all. */
#include "broker/store/log_state.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHECKPOINT_FILE   "checkpoint"
#define CHECKPOINT_MAGIC  "SLUICECP"
#define CHECKPOINT_HEADER 32u
#define LEAST_EVERY_MS    1000

/* ------------------------------------------------------------------ writing */

static void put(struct buf *b, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 10);
    b->size += (size_t)(wire_put_varint(at, value) - at);
}

/* Nothing in it is needed once a checkpoint is durable: that checkpoint names it no more. */
static bool is_dead(const struct log *l, uint32_t i)
{
    return i + 1 < l->segment_count && l->segments[i]->live_events == 0;
}

static uint32_t count_dead(const struct log *l)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->segment_count; i++)
        count += is_dead(l, i);
    return count;
}

static void put_segments(const struct log *l, struct buf *b)
{
    put(b, l->segment_count - count_dead(l));
    for (uint32_t i = 0; i < l->segment_count; i++) {
        const struct segment *s = l->segments[i];
        if (is_dead(l, i))
            continue;
        put(b, s->id);
        put(b, s->size);
        put(b, s->sealed);
        put(b, s->table_at);
        put(b, s->table_size);
        put(b, s->all_events);
    }
}

static void put_queue(const struct log_queue *q, struct buf *b)
{
    put(b, q->id);
    put(b, q->placed_end);
    put(b, q->live_bytes);
    put(b, q->extent_count);
    for (uint32_t i = 0; i < q->extent_count; i++) {
        const struct extent *x = &q->extents[i];
        put(b, x->first);
        put(b, x->end - x->first);
        put(b, x->segment->id);
        put(b, x->live_bytes);
    }
    size_t settled = MUTATED(forget_settled) ? 0 : q->settled.count;
    put(b, settled);
    for (size_t i = 0; i < settled; i++) {
        put(b, ranges_at(&q->settled, i)->first);
        put(b, ranges_at(&q->settled, i)->end - ranges_at(&q->settled, i)->first);
    }
}

static void put_all(struct log *l, struct buf *b)
{
    uint8_t chain[8];
    wire_store64(chain, l->chain);
    put(b, segment_active(l)->id);
    put(b, segment_active(l)->size);
    put(b, l->placed - l->carried);
    buf_add(b, chain, sizeof chain);
    put_segments(l, b);
    put(b, HASH_COUNT(l->queues));
    for (const struct log_queue *q = l->queues; q; q = q->hh.next)
        put_queue(q, b);
    if (l->owner.snapshot)
        l->owner.snapshot(l->owner.context, b); /* to the end */
}

static void remember_dead(struct log *l)
{
    l->freeing = xrealloc(l->freeing, (l->segment_count + 1) * sizeof *l->freeing);
    l->freeing_count = 0;
    for (uint32_t i = 0; i < l->segment_count; i++) {
        if (is_dead(l, i))
            l->freeing[l->freeing_count++] = l->segments[i]->id;
    }
}

/* Of all of it: the header's first 24 bytes seed what covers the content. */
static uint64_t checksum_of(const struct buf *b)
{
    return XXH3_64bits_withSeed(b->data + CHECKPOINT_HEADER, b->size - CHECKPOINT_HEADER, XXH3_64bits(b->data, 24));
}

/* A checkpoint may not name a place in the log that is not on disk. */
static void sync_before(struct log *l)
{
    char name[FILE_NAME_SIZE];
    if (l->synced == l->placed || l->config.sync == LOG_SYNC_GROUP)
        return; /* or the commit's own sync comes first */
    segment_name(name, segment_active(l)->id);
    log_submit(l, FILE_SYNC, name, 0, l->placed, NULL, TAG_SYNC);
}

static void free_segments(struct log *l);

void checkpoint_start(struct log *l)
{
    struct buf b = { 0 };
    buf_reserve(&b, CHECKPOINT_HEADER);
    b.size = CHECKPOINT_HEADER;
    put_all(l, &b);
    memset(b.data, 0, CHECKPOINT_HEADER);
    memcpy(b.data, CHECKPOINT_MAGIC, 8);
    wire_store32(b.data + 8, LOG_VERSION);
    wire_store64(b.data + 16, b.size - CHECKPOINT_HEADER);
    wire_store64(b.data + 24, checksum_of(&b));
    remember_dead(l);
    l->checkpointing = true;
    l->since_checkpoint = 0;
    l->last_checkpoint = l->now;
    l->checkpoint_size = b.size;
    sync_before(l);
    if (MUTATED(free_early) || MUTATED(reuse_early))
        free_segments(l);
    log_submit(l, FILE_REPLACE, CHECKPOINT_FILE, 0, 0, &b, TAG_CHECKPOINT);
}

void checkpoint_consider(struct log *l)
{
    uint64_t enough = l->checkpoint_size * 4;
    if (enough < l->config.segment_size)
        enough = l->config.segment_size;
    if (l->checkpointing || mono_before(l->now, l->checkpoint_again))
        return;
    bool late = mono_since_ms(l->now, l->last_checkpoint) >= LEAST_EVERY_MS || l->no_room;
    if (l->since_checkpoint >= enough || (late && count_dead(l)) || l->checkpoint_starved)
        checkpoint_start(l);
}

/* Where something waits to be placed what that waits for comes first: a disk that stands still asks for no turn. An orderly end has a
 * checkpoint of its own. */
static bool is_wanted(const struct log *l)
{
    bool everything_is_placed = !l->open && !l->first_closed && !l->fresh;
    return !l->failed && !l->stopping && everything_is_placed && (count_dead(l) || l->checkpoint_starved);
}

void checkpoint_idle(struct log *l)
{
    if (is_wanted(l))
        checkpoint_consider(l);
}

mono_t checkpoint_due(const struct log *l)
{
    if (l->checkpointing || !is_wanted(l))
        return MONO_NEVER;
    mono_t at = mono_add_ms(l->last_checkpoint, LEAST_EVERY_MS);
    return mono_before(at, l->checkpoint_again) ? l->checkpoint_again : at;
}

/* ------------------------------------------------------------------ done */

/* A read on its way still names its segment. */
static bool is_read(const struct log *l, uint64_t id)
{
    return (l->loads && l->loads->segment && l->loads->segment->id == id) || (l->victim && l->victim->id == id);
}

static void free_segments(struct log *l)
{
    for (uint32_t i = 0; i < l->freeing_count; i++) {
        uint64_t id = l->freeing[i];
        if (is_read(l, id))
            continue; /* the next checkpoint frees it */
        segment_let_go(l, segment_find(l, id));
        segment_remove(l, id);
        l->info.freed_segments++;
        l->no_room = false; /* try again to allocate */
        l->out_since = MONO_NEVER;
    }
    l->freeing_count = 0;
}

/* No room for the checkpoint: give up a spare for it, or what would become one, if it frees a segment, which can become one, or carries
 * what has no place, or is the last. */
static void starve(struct log *l, bool carries)
{
    l->freeing_count = 0;
    l->checkpoint_again = mono_add_ms(l->now, LEAST_EVERY_MS);
    l->since_checkpoint = l->config.segment_size; /* still due */
    l->rested = l->stopping && l->spares == 0;    /* an orderly end needs none: everything is in the log */
    if (!segment_give_up_retired(l)) {
        if (l->spares == 0 || l->spare_coming || !(count_dead(l) || carries || l->stopping))
            return;
        segment_remove_file(l, segment_active(l)->id + l->spares);
        l->spares--;
    }
    l->checkpoint_starved = true;
    l->checkpoint_again = l->now;
}

void checkpoint_done(struct log *l, struct file_op *op)
{
    bool carries = l->carry_through != 0;
    l->checkpointing = false;
    carry_done(l, op->error == 0);
    if (file_lacks_room(op->error)) {
        starve(l, carries);
        return;
    }
    if (op->error) {
        log_fail(l, "cannot write", op->name, NO_OFFSET, strerror(op->error));
        return;
    }
    l->checkpoint_starved = false;
    l->info.checkpoints++;
    free_segments(l);
}

/* ------------------------------------------------------------------ reading */

struct taking {
    struct wire_reader r;
    bool bad;
};

static uint64_t take(struct taking *t)
{
    uint64_t value = 0;
    if (!t->bad && !wire_varint(&t->r, &value))
        t->bad = true;
    return t->bad ? 0 : value;
}

static void take_segments(struct log *l, struct taking *t)
{
    uint64_t count = take(t), last = 0;
    for (uint64_t i = 0; i < count && !t->bad; i++) {
        uint64_t id = take(t);
        if (id <= last) {
            t->bad = true;
            return;
        }
        struct segment *s = segment_add(l, last = id);
        s->size = s->written = take(t);
        s->sealed = take(t) != 0;
        s->table_at = (uint32_t)take(t);
        s->table_size = (uint32_t)take(t);
        s->all_events = take(t);
        if (s->size > UINT32_MAX || (uint64_t)s->table_at + s->table_size > s->size)
            t->bad = true;
    }
}

static void take_extent(struct log *l, struct log_queue *q, struct taking *t)
{
    struct extent x = { .first = take(t) };
    x.end = x.first + take(t);
    x.segment = segment_find(l, take(t));
    x.live_bytes = take(t);
    if (!x.segment || x.end <= x.first || (q->extent_count && q->extents[q->extent_count - 1].end > x.first)) {
        t->bad = true;
        return;
    }
    if (q->extent_count == q->extent_capacity) {
        q->extent_capacity = q->extent_capacity ? q->extent_capacity * 2 : 4;
        q->extents = xrealloc(q->extents, q->extent_capacity * sizeof *q->extents);
    }
    q->extents[q->extent_count++] = x;
}

/* Everything was placed: what is settled lies within extents, and no extent is settled wholly. */
static bool agrees(const struct log_queue *q)
{
    uint64_t all = 0, within = 0, end = 0;
    for (size_t i = 0; i < q->settled.count; i++)
        all += ranges_at(&q->settled, i)->end - ranges_at(&q->settled, i)->first;
    for (uint32_t i = 0; i < q->extent_count; i++) {
        const struct extent *x = &q->extents[i];
        within += ranges_count_in(&q->settled, x->first, x->end);
        end = x->end;
        if (x->live == 0)
            return false;
    }
    return all == within && end <= q->placed_end && (q->live > 0 || q->live_bytes == 0);
}

static void take_queue(struct log *l, struct taking *t)
{
    uint64_t id = take(t);
    if (id > UINT32_MAX || log_queue_of(l, (uint32_t)id, false))
        t->bad = true;
    if (t->bad)
        return;
    struct log_queue *q = log_queue_of(l, (uint32_t)id, true);
    q->placed_end = take(t);
    q->live_bytes = take(t);
    uint64_t extents = take(t);
    for (uint64_t i = 0; i < extents && !t->bad; i++)
        take_extent(l, q, t);
    uint64_t settled = take(t);
    for (uint64_t i = 0; i < settled && !t->bad; i++) {
        uint64_t first = take(t);
        ranges_add(&q->settled, first, first + take(t));
    }
    for (uint32_t i = 0; i < q->extent_count && !t->bad; i++) {
        struct extent *x = &q->extents[i];
        x->live = x->end - x->first - ranges_count_in(&q->settled, x->first, x->end);
        x->segment->live_events += x->live;
        x->segment->live_bytes += x->live_bytes;
        q->live += x->live;
    }
    t->bad |= !agrees(q);
}

static bool take_all(struct log *l, struct taking *t, struct position *from)
{
    from->segment = take(t);
    from->offset = take(t);
    from->number = take(t);
    if (t->bad || t->r.end - t->r.at < 8)
        return false;
    from->chain = wire_load64(t->r.at);
    t->r.at += 8;
    take_segments(l, t);
    uint64_t queues = take(t);
    for (uint64_t i = 0; i < queues && !t->bad; i++)
        take_queue(l, t);
    return !t->bad && l->segment_count && segment_active(l)->id == from->segment && !segment_active(l)->sealed;
}

static bool read_whole(struct log *l, struct buf *b, uint64_t size, struct error *e)
{
    size_t got = 0;
    int why = l->files->ops->read(l->files, CHECKPOINT_FILE, 0, buf_reserve(b, size + 1), size, &got);
    b->size = got;
    return why == 0 ? true : error_set(e, "cannot read the checkpoint: %s", strerror(why));
}

static bool header_holds(const struct buf *b, struct error *e)
{
    if (b->size < CHECKPOINT_HEADER || memcmp(b->data, CHECKPOINT_MAGIC, 8) != 0)
        return error_set(e, "checkpoint: damaged at offset 0: it is no checkpoint; run sluice-broker --repair");
    if (wire_load32(b->data + 8) > LOG_VERSION)
        return error_set(e, "checkpoint: written by a newer version (format %u, this broker reads up to %u)",
                         wire_load32(b->data + 8), LOG_VERSION);
    uint64_t size = wire_load64(b->data + 16);
    if (size != b->size - CHECKPOINT_HEADER || checksum_of(b) != wire_load64(b->data + 24))
        return error_set(e, "checkpoint: damaged: its checksum does not hold; run sluice-broker --repair");
    return true;
}

static void find_checkpoint(void *context, const char *name, uint64_t size)
{
    if (strcmp(name, CHECKPOINT_FILE) == 0)
        *(uint64_t *)context = size;
}

bool checkpoint_read(struct log *l, const struct log_replay *replay, struct position *from, bool *found,
                     struct error *e)
{
    uint64_t size = UINT64_MAX;
    int why = l->files->ops->list(l->files, find_checkpoint, &size);
    if (why)
        return error_set(e, "cannot list the data directory: %s", strerror(why));
    *found = size != UINT64_MAX;
    if (!*found)
        return true;
    struct buf b = { 0 };
    bool fine = read_whole(l, &b, size, e) && header_holds(&b, e);
    if (fine) {
        struct taking t = { .r = wire_open(span_of(b.data + CHECKPOINT_HEADER, b.size - CHECKPOINT_HEADER)) };
        fine = take_all(l, &t, from);
        struct span state = span_of(t.r.at, (size_t)(t.r.end - t.r.at));
        if (!fine)
            error_set(e, "checkpoint: damaged: its content is malformed; run sluice-broker --repair");
        else if (replay->restore && !replay->restore(replay->context, state))
            fine = error_set(e, "checkpoint: written by a version whose state this broker cannot read");
        l->checkpoint_size = b.size;
    }
    buf_free(&b);
    return fine;
}
