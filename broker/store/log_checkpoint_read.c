/* Reads a checkpoint into an empty log: makes its segments and queues. log_checkpoint.c writes it. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <stdlib.h>

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

/* Do the queue's parts agree? Everything was placed when the checkpoint was made, so settled sequences are within
 * extents, and every extent has a live event. */
static bool is_consistent(const struct log_queue *q)
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
    t->bad |= !is_consistent(q);
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

static bool check_header(const struct buf *b, struct error *e)
{
    if (b->size < CHECKPOINT_HEADER || memcmp(b->data, CHECKPOINT_MAGIC, 8) != 0)
        return error_set(e, "checkpoint: damaged at offset 0: it is not a checkpoint; run sluice-broker --repair");
    if (wire_load32(b->data + 8) > LOG_VERSION)
        return error_set(e, "checkpoint: written by a newer version (format %u, this broker reads up to %u)",
                         wire_load32(b->data + 8), LOG_VERSION);
    uint64_t size = wire_load64(b->data + 16);
    if (size != b->size - CHECKPOINT_HEADER || checkpoint_checksum(b) != wire_load64(b->data + 24))
        return error_set(e, "checkpoint: damaged: its checksum does not match; run sluice-broker --repair");
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
    bool fine = read_whole(l, &b, size, e) && check_header(&b, e);
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
