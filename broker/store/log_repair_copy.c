/* --repair: what was live as of the checkpoint. Its records are looked up among the whole ones found; live events that are in none get
 * an empty one in their place, so that the core's books, which count them, stay exact. */
#include "broker/store/log_repair.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define LOST_AT_ONCE 1024u

void repair_find_run(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct run_record run;
    (void)group;
    if ((rec->type != RECORD_EVENTS && rec->type != RECORD_MOVED) || !run_read(rec->payload, &run))
        return;
    if (r->found_count == r->found_capacity) {
        r->found_capacity = r->found_capacity ? r->found_capacity * 2 : 1024;
        r->found = xrealloc(r->found, r->found_capacity * sizeof *r->found);
    }
    r->found[r->found_count++] = (struct found){ .queue = run.queue,
                                                 .size = (uint32_t)rec->payload.size + RECORD_HEADER_SIZE,
                                                 .first = run.first,
                                                 .end = run.first + run.count,
                                                 .segment = segment,
                                                 .offset = offset };
}

static int by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Of those that hold `sequence` the one that reaches farthest; NULL with *next: where the next one begins. */
static const struct found *holding(const struct repair *r, uint32_t queue, uint64_t sequence, uint64_t *next)
{
    const struct found *best = NULL;
    size_t low = 0, high = r->found_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct found *f = &r->found[middle];
        if (f->queue < queue || (f->queue == queue && f->first <= sequence))
            low = middle + 1;
        else
            high = middle;
    }
    *next = low < r->found_count && r->found[low].queue == queue ? r->found[low].first : UINT64_MAX;
    for (size_t i = low; i-- > 0 && r->found[i].queue == queue && r->found[i].reach > sequence;) {
        if (r->found[i].end > sequence && (!best || r->found[i].end > best->end))
            best = &r->found[i];
    }
    return best;
}

static bool copy_found(struct repair *r, const struct found *f, uint64_t first, uint64_t end)
{
    char name[FILE_NAME_SIZE];
    struct buf b = { 0 };
    struct record rec;
    struct run_record run;
    size_t got = 0;
    segment_name(name, f->segment);
    int why = r->from->ops->read(r->from, name, f->offset, buf_reserve(&b, f->size), f->size, &got);
    struct span one = span_of(b.data, got);
    bool fine = why == 0 && record_next(&one, &rec) == LOG_OK && run_read(rec.payload, &run);
    fine = fine ? repair_append_part(r, &run, first, end, (struct span){ 0 })
                : (repair_say(r, "%s changed while it was read", name), false);
    buf_free(&b);
    return fine;
}

static bool put_lost(struct repair *r, struct kept *k, uint64_t first, uint64_t end)
{
    struct store_event *none = xcalloc(LOST_AT_ONCE, sizeof *none);
    bool fine = true;
    ranges_add(&k->lost, first, end);
    while (fine && first < end) {
        uint64_t count = end - first < LOST_AT_ONCE ? end - first : LOST_AT_ONCE;
        struct store_run run = { .queue = k->id, .first = first, .events = none, .count = (size_t)count };
        fine = repair_append(r, k, &run);
        first += count;
    }
    free(none);
    return fine;
}

static bool copy_stretch(struct repair *r, uint32_t queue, uint64_t first, uint64_t end)
{
    bool fine = true;
    while (fine && first < end) {
        uint64_t next;
        const struct found *f = holding(r, queue, first, &next);
        uint64_t to = f ? f->end : next;
        to = to < end ? to : end;
        fine = f ? copy_found(r, f, first, to) : put_lost(r, repair_kept_of(r, queue), first, to);
        first = to;
    }
    return fine;
}

static bool copy_queue(struct repair *r, const struct log_queue *q)
{
    bool fine = true;
    for (uint32_t i = 0; fine && i < q->extent_count; i++) {
        uint64_t at = q->extents[i].first, end = q->extents[i].end, gap, gap_end;
        while (fine && (at = ranges_next_gap(&q->settled, at)) < end) {
            uint64_t to = ranges_next(&q->settled, at, &gap, &gap_end) && gap < end ? gap : end;
            fine = copy_stretch(r, q->id, at, to);
            at = to;
        }
    }
    struct kept *k = repair_kept_of(r, q->id);
    k->next = q->placed_end > k->next ? q->placed_end : k->next;
    return fine;
}

static void put_state(void *context, struct buf *out)
{
    struct repair *r = context;
    buf_add(out, r->state.data, r->state.size);
}

bool repair_copy_checkpoint(struct repair *r)
{
    bool fine = true;
    for (const struct log_queue *q = r->old->queues; fine && q; q = q->hh.next)
        fine = copy_queue(r, q);
    if (!fine || !repair_pump(r))
        return false;
    log_set_owner(&r->new->base, &(struct log_owner){ r, put_state });
    checkpoint_start(r->new);
    fine = repair_pump(r);
    r->new->checkpointing = true; /* never again: the state is the old checkpoint's */
    return fine;
}

void repair_sort_found(struct repair *r)
{
    if (r->found_count)
        qsort(r->found, r->found_count, sizeof *r->found, by_place);
    for (size_t i = 0; i < r->found_count; i++) {
        struct found *f = &r->found[i];
        bool follows = i > 0 && f[-1].queue == f->queue && f[-1].reach > f->end;
        f->reach = follows ? f[-1].reach : f->end;
    }
}
