/* --repair: what was live as of the checkpoint. The new log knows these events from the start, without a place. Every
 * whole record of the old log that has some of them is copied, as compaction does: once for all queues that want the
 * events. A live event that is in no whole record gets an empty event in its place, so that the core's ledger, which
 * counts it, stays exact. */
#include "broker/store/log_repair.h"

#include "base/xalloc.h"
#include "proto/frame.h"

#include <stdlib.h>

#define LOST_AT_ONCE 1024u

/* ------------------------------------------------------------------ wanted events */

static void add_unplaced(struct repair *r, struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes)
{
    if (q->extent_count == q->extent_capacity) {
        q->extent_capacity = q->extent_capacity ? q->extent_capacity * 2 : 4;
        q->extents = xrealloc(q->extents, q->extent_capacity * sizeof *q->extents);
    }
    q->extents[q->extent_count++] = (struct extent){
        .first = first, .end = end, .segment = &r->unplaced, .live = end - first, .live_bytes = bytes
    };
    r->unplaced.live_events += end - first;
    r->unplaced.live_bytes += bytes;
}

static void want_queue(struct repair *r, const struct log_queue *old)
{
    struct log_queue *q = log_queue_of(r->new, old->id, true);
    struct repair_queue *k = repair_queue_of(r, old->id);
    uint64_t gap, gap_end;
    for (uint32_t i = 0; i < old->extent_count; i++) {
        const struct extent *x = &old->extents[i];
        for (uint64_t at = x->first; (at = ranges_next_gap(&old->settled, at)) < x->end;) {
            uint64_t to = ranges_next(&old->settled, at, &gap, &gap_end) && gap < x->end ? gap : x->end;
            add_unplaced(r, q, at, to, x->live_bytes * (to - at) / x->live);
            ranges_add(&k->wanted, at, to);
            ranges_add(&k->have, at, to);
            at = to;
        }
    }
    q->placed_end = k->next = old->placed_end;
    q->live = old->live;
    q->live_bytes = k->lost_bytes = old->live_bytes;
}

void repair_want(struct repair *r)
{
    for (const struct log_queue *q = r->old->queues; q; q = q->hh.next)
        want_queue(r, q);
}

/* ------------------------------------------------------------------ events that are found */

static struct repair_queue *find_queue(const struct repair *r, uint32_t id)
{
    struct repair_queue *k = NULL;
    HASH_FIND(hh, r->queues, &id, sizeof id, k);
    return k;
}

static bool is_wanted(void *context, uint32_t target, const struct run_target *t, uint64_t sequence, uint64_t *until)
{
    const struct repair_queue *k = find_queue(context, t->queue);
    uint64_t first, end;
    (void)target;
    *until = UINT64_MAX;
    if (!k || !ranges_next(&k->wanted, sequence, &first, &end))
        return false;
    *until = first == sequence ? end : first;
    return first == sequence;
}

static void found_stretch(struct repair *r, const struct stretches *s, uint64_t bytes)
{
    for (uint32_t i = 0; i < s->wanting_count; i++) {
        struct repair_queue *k = find_queue(r, s->wanting[i].queue);
        ranges_remove(&k->wanted, s->wanting[i].first, s->wanting[i].first + s->events);
        k->lost_bytes -= bytes < k->lost_bytes ? bytes : k->lost_bytes;
    }
}

void repair_copy_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct shared_record run;
    uint8_t own[OWN_TARGET_MAX];
    (void)segment;
    (void)group;
    (void)offset;
    if (r->stopped || (rec->type != RECORD_EVENTS && rec->type != RECORD_MOVED && rec->type != RECORD_SHARED) ||
        !record_shared(rec, &run, own) || run.count > UINT32_MAX)
        return;
    struct table_entry e = { .count = (uint32_t)run.count };
    r->room.log = r->new;
    struct stretches s = live_stretches(&r->room, &e, targets_open(run.targets, run.target_count, 0));
    s.ask = is_wanted;
    s.context = r;
    while (!r->stopped && stretch_next(&s)) {
        uint64_t bytes;
        struct span lane = stretch_lane(&s, &run, &bytes);
        struct group *g = group_open(r->new);
        found_stretch(r, &s, bytes);
        stretch_move(g, &s, run.accepted_ms, lane, bytes);
        g->urgent = true;
        repair_pump_sometimes(r, bytes);
    }
}

/* ------------------------------------------------------------------ events that are lost */

static void put_empty(struct repair *r, uint32_t queue, uint64_t first, uint64_t count)
{
    struct buf lane = { 0 };
    struct run_target target = { queue, first };
    struct stretches s = { .wanting = &target, .wanting_count = 1, .events = count };
    struct group *g = group_open(r->new);
    for (uint64_t i = 0; i < count; i++)
        frame_add_event(&lane, (struct span){ 0 });
    stretch_move(g, &s, 0, buf_span(&lane), 0);
    g->urgent = true;
    buf_free(&lane);
}

static bool put_lost(struct repair *r, struct repair_queue *k, uint64_t first, uint64_t end)
{
    ranges_add(&k->lost, first, end);
    while (!r->stopped && first < end) {
        uint64_t count = end - first < LOST_AT_ONCE ? end - first : LOST_AT_ONCE;
        put_empty(r, k->id, first, count);
        first += count;
        repair_pump_sometimes(r, count);
    }
    return !r->stopped;
}

static void put_state(void *context, struct buf *out)
{
    struct repair *r = context;
    buf_add(out, r->state.data, r->state.size);
}

/* Without the checkpoint nothing that was copied would count. A running log would wait for room; here no room will
 * ever be freed, so a checkpoint that was not written is an error. */
static bool write_checkpoint(struct repair *r)
{
    uint64_t before = r->new->info.checkpoints;
    checkpoint_start(r->new);
    if (!repair_pump(r))
        return false;
    if (r->new->info.checkpoints == before)
        repair_lacks_room(r);
    return !r->stopped;
}

bool repair_copy_checkpoint(struct repair *r)
{
    bool fine = !r->stopped;
    for (struct repair_queue *k = r->queues; fine && k; k = k->hh.next) {
        for (uint64_t at = 0, end; fine && ranges_next(&k->wanted, at, &at, &end); at = end)
            fine = put_lost(r, k, at, end);
    }
    if (!fine || !repair_pump(r))
        return false;
    log_set_owner(&r->new->base, &(struct log_owner){ r, put_state });
    fine = write_checkpoint(r);
    r->new->checkpointing = true; /* never again: the state is the old checkpoint's */
    return fine;
}
