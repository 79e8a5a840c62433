/* Checkpoints: where every live event is, and the core's state, as of one group. Recovery reads the checkpoint and
 * replays what was logged after it. So the time of a restart depends on what is live and on the log since the
 * checkpoint, not on history.
 *
 * Segments are freed only by a checkpoint: a settlement must outlive every copy of its event (docs/log-format.md,
 * Freeing). Once a durable checkpoint says that nothing in a segment is live, nothing in it is needed: not its events,
 * and not its settlements, notes and moves, whose effect the checkpoint contains.
 *
 * File: magic, version, size, checksum (32 B), then varints; see put_all, and take_all in log_checkpoint_read.c. */
#include "broker/store/log_parts.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#define LEAST_EVERY_MS 1000

/* ------------------------------------------------------------------ writing */

static void put(struct buf *b, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 10);
    b->size += (size_t)(wire_put_varint(at, value) - at);
}

/* Nothing in the segment is live: the next checkpoint does not name it and frees it. */
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
        l->owner.snapshot(l->owner.context, b); /* the rest of the file */
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

/* A checkpoint may not name a place in the log that is not on disk, so the active segment is synced first. */
static void sync_before(struct log *l)
{
    char name[FILE_NAME_SIZE];
    if (l->synced == l->placed || l->config.sync == LOG_SYNC_GROUP)
        return; /* with LOG_SYNC_GROUP the commit's own sync comes first */
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
    wire_store64(b.data + 24, checkpoint_checksum(&b));
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

/* Not while anything waits for a place: that is the commit's turn, and asking for turns meanwhile would make the loop
 * spin on a disk that stands still. An orderly end writes a checkpoint of its own. */
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

/* Is the segment being read from? */
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
        segment_recycle_or_remove(l, segment_find(l, id));
        segment_remove(l, id);
        l->info.freed_segments++;
        l->no_room = false; /* so that an allocation is tried again */
        l->exhausted_since = MONO_NEVER;
    }
    l->freeing_count = 0;
}

/* There is no room for the checkpoint. Gives up a recyclable file for it, else a spare: but a spare only if the
 * checkpoint frees a segment (which can become a spare), carries groups, or belongs to the orderly end. */
static void starve(struct log *l, bool carries)
{
    l->freeing_count = 0;
    l->checkpoint_again = mono_add_ms(l->now, LEAST_EVERY_MS);
    l->since_checkpoint = l->config.segment_size; /* still due */
    /* Without a spare to give up the orderly end goes without a checkpoint: everything is in the log. */
    l->no_final_checkpoint = l->stopping && l->spares == 0;
    if (!segment_remove_recyclable(l)) {
        if (l->spares == 0 || l->spare_pending || !(count_dead(l) || carries || l->stopping))
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
