/* Groups. What is put into the log gathers in the open group. A commit gives every gathered group its place in a
 * segment, writes and syncs them; meanwhile the next ones gather. Only one commit is under way at a time, so groups
 * become durable in order: a valid group behind an invalid one on disk means damage, never a reordered write.
 *
 * Rolling over: a group that does not fit seals the active segment with its table and goes into the next segment,
 * which was allocated ahead (a spare). log_room.c decides who may take the last spares, log_carry.c deals with groups
 * that find no place. */
#include "broker/store/log_move.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t group_limit(const struct log *l)
{
    return l->config.segment_size / 8 < GROUP_BYTES ? l->config.segment_size / 8 : GROUP_BYTES;
}

/* ------------------------------------------------------------------ gathering */

uint64_t group_bytes(const struct group *g)
{
    return g->records.size + g->table_bytes;
}

static void close_open(struct log *l)
{
    struct group *g = l->open;
    l->open = NULL;
    if (!g)
        return;
    l->closed_bytes += group_bytes(g);
    if (l->last_closed)
        l->last_closed->next = g;
    else
        l->first_closed = g;
    l->last_closed = g;
}

struct group *group_open(struct log *l)
{
    if (l->open && l->open->records.size > group_limit(l))
        close_open(l);
    if (!l->open) {
        l->open = xcalloc(1, sizeof *l->open);
        l->open->number = l->next_number++;
        buf_reserve(&l->open->records, l->usual_group > GROUP_HEADER_SIZE ? l->usual_group : GROUP_HEADER_SIZE);
        l->open->records.size = GROUP_HEADER_SIZE;
    }
    return l->open;
}

struct group *group_open_behind(struct log *l, uint64_t bytes)
{
    if (l->open && l->open->has_events && room_is_tight(l, bytes))
        close_open(l);
    return group_open(l);
}

struct group *group_take_closed(struct log *l)
{
    struct group *g = l->first_closed;
    l->first_closed = g->next;
    if (!l->first_closed)
        l->last_closed = NULL;
    l->closed_bytes -= group_bytes(g);
    g->next = NULL;
    return g;
}

void group_add_run(struct group *g, const struct group_run *run)
{
    if (g->run_count == g->run_capacity) {
        g->run_capacity = g->run_capacity ? g->run_capacity * 2 : 16;
        g->runs = xrealloc(g->runs, g->run_capacity * sizeof *g->runs);
    }
    g->runs[g->run_count++] = *run;
    g->has_events |= !run->moved;
    g->table_bytes += table_growth(1, 0, 0);
}

void group_add_shared(struct group *g, struct group_run run, uint32_t target_count, struct span targets)
{
    run.entry.queue = SHARED_MARK;
    run.target_count = target_count;
    run.targets_at = g->targets.size;
    run.targets_size = targets.size;
    buf_add(&g->targets, targets.data, targets.size);
    group_add_run(g, &run);
    g->table_bytes += table_growth(0, 1, targets.size);
}

static struct span targets_of(const struct group *g, const struct group_run *run)
{
    return run->target_count ? span_of(g->targets.data + run->targets_at, run->targets_size) : (struct span){ 0 };
}

struct target_reader group_targets(const struct group *g, const struct group_run *run)
{
    return targets_open(targets_of(g, run), run->target_count, 0);
}

void group_add_settled(struct group *g, uint32_t queue, uint32_t count)
{
    if (g->settled_count == g->settled_capacity) {
        g->settled_capacity = g->settled_capacity ? g->settled_capacity * 2 : 16;
        g->settled = xrealloc(g->settled, g->settled_capacity * sizeof *g->settled);
    }
    g->settled[g->settled_count++] = (struct group_settled){ queue, count };
}

void group_gather_settled(struct log *l)
{
    while (l->fresh) {
        struct log_queue *q = l->fresh;
        l->fresh = q->fresh_next;
        q->listed = false;
        struct group *g = group_open_behind(l, q->fresh.count * sizeof *q->fresh.ranges);
        settled_write(&g->records, q->id, q->fresh.ranges, q->fresh.count);
        group_add_settled(g, q->id, q->fresh.events);
        q->fresh.count = q->fresh.events = 0;
    }
    l->lazy_since = MONO_NEVER;
}

void group_free(struct group *g)
{
    buf_free(&g->records);
    buf_free(&g->targets);
    free(g->runs);
    free(g->settled);
    free(g);
}

/* ------------------------------------------------------------------ placing */

static void change(struct log *l, enum file_kind kind, const struct segment *s, uint64_t offset, struct buf *data)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, s->id);
    l->changes++;
    log_submit(l, kind, name, offset, 0, data, TAG_COMMIT);
}

/* Does not count the zeros behind it as written. */
static void write_padded(struct log *l, struct segment *s, uint64_t at, struct buf *b)
{
    l->info.written_bytes -= pad_written(l, s, b, at);
    change(l, FILE_WRITE, s, at, b);
}

static void write_group(struct log *l, struct segment *s, uint64_t number, struct buf *records)
{
    struct group_header h = { .number = number - l->carried, .durable = l->synced - l->carried };
    struct span bytes = span_of(records->data + GROUP_HEADER_SIZE, records->size - GROUP_HEADER_SIZE);
    struct segment_header in = log_header_of(l, s->id, 0);
    group_header_write(records->data, &h, bytes, &in, l->chain);
    l->chain = h.chain;
    l->since_checkpoint += records->size;
    l->info.group_bytes += records->size;
    l->info.groups++;
    uint64_t at = s->size;
    s->size += records->size;
    l->commit_bytes += records->size;
    write_padded(l, s, at, records);
}

/* Syncs the header before anything is written behind it: a spare that still has the header of its file's earlier use
 * was never written to, so a start need not read it. */
static void begin_segment(struct log *l, uint64_t id)
{
    struct segment *s = segment_add(l, id);
    struct segment_header h = log_header_of(l, id, l->chain);
    struct buf b = { 0 };
    segment_header_write(buf_reserve(&b, SEGMENT_HEADER_SIZE), &h);
    b.size = SEGMENT_HEADER_SIZE;
    s->begun_here = true;
    s->prewritten = spare_is_recycled(l, id) ? l->config.segment_size : 0;
    write_padded(l, s, 0, &b);
    change(l, FILE_SYNC, s, 0, NULL);
}

static void seal(struct log *l, struct segment *s)
{
    struct buf b = { 0 };
    buf_reserve(&b, GROUP_HEADER_SIZE);
    b.size = GROUP_HEADER_SIZE;
    segment_build_table(l, s, &b);
    s->table_at = (uint32_t)s->size + GROUP_HEADER_SIZE;
    s->table_size = (uint32_t)b.size - GROUP_HEADER_SIZE;
    s->sealed = true;
    s->measured_events = 0;
    write_group(l, s, l->placed, &b); /* a table repeats the number before it */
    change(l, FILE_SYNC, s, 0, NULL);
}

static bool roll_over(struct log *l)
{
    if (l->spares == 0)
        return false;
    struct segment *s = segment_active(l);
    seal(l, s);
    l->spares--;
    begin_segment(l, s->id + 1);
    return true;
}

static bool fits(const struct log *l, const struct group *g)
{
    const struct segment *s = segment_active(l);
    return s->size == SEGMENT_HEADER_SIZE || s->size + segment_table_size(s) + group_bytes(g) <= l->config.segment_size;
}

static void place_events(struct log *l, struct segment *s, const struct group_run *run, const struct table_entry *e,
                         bool shared)
{
    if (run->moved)
        extent_move(l, s, e, run->bytes, shared);
    else
        extent_add(l, s, e, run->bytes, shared);
}

static void place_run(struct log *l, struct segment *s, const struct group *g, const struct group_run *run)
{
    struct table_entry e = run->entry;
    struct run_target t;
    e.offset += (uint32_t)s->size;
    l->info.moved_events += run->moved ? run->entry.count : 0;
    if (run->target_count == 0) {
        segment_add_run(s, &e);
        place_events(l, s, run, &e, false);
        return;
    }
    struct target_reader targets = group_targets(g, run);
    segment_add_shared(s, &e, run->target_count, targets_of(g, run));
    while (target_next(&targets, &t)) {
        e.queue = t.queue;
        e.first = t.first;
        place_events(l, s, run, &e, true);
    }
}

void group_add_in_flight(struct log *l, struct group *g)
{
    if (l->last_in_flight)
        l->last_in_flight->next = g;
    else
        l->in_flight = g;
    l->last_in_flight = g;
}

static void take_place(struct log *l, struct group *g)
{
    struct segment *s = segment_active(l);
    for (size_t i = 0; i < g->run_count; i++)
        place_run(l, s, g, &g->runs[i]);
    l->usual_group = g->records.size < group_limit(l) ? g->records.size : 0;
    write_group(l, s, g->number, &g->records);
    l->placed = g->number;
    group_add_in_flight(l, g);
}

/* False when a group found no place. */
static bool place_all(struct log *l)
{
    close_open(l);
    while (l->first_closed) {
        bool has_place = fits(l, l->first_closed) && !room_is_reserved(l);
        if (!has_place && !(room_may_take_spare(l) && roll_over(l)))
            return false;
        take_place(l, group_take_closed(l));
    }
    return true;
}

/* ------------------------------------------------------------------ committing */

static bool has_reason(const struct log *l)
{
    if (l->first_closed || (l->open && l->open->urgent))
        return true;
    return l->lazy_since.ns != INT64_MAX && !mono_before(l->now, mono_add_ms(l->lazy_since, l->config.lazy_ms));
}

static void sync_by_interval(struct log *l)
{
    if (l->config.sync != LOG_SYNC_INTERVAL || !l->sync_waits || mono_before(l->now, l->next_sync))
        return;
    char name[FILE_NAME_SIZE];
    segment_name(name, segment_active(l)->id);
    log_submit(l, FILE_SYNC, name, 0, l->written, NULL,
               TAG_SYNC); /* `size` is not used by a sync: it holds the last group that this one covers */
    l->sync_waits = false;
    l->next_sync = mono_add_ms(l->now, l->config.sync_interval_ms);
}

/* Will what is moved fit into the last segment for certain? Notes may take a quarter of it first. */
static bool fits_into_last(const struct log *l, const struct segment *s)
{
    return !s->too_costly &&
           s->measured_cost + table_bound(0, 0, 0) <= l->config.segment_size - l->config.segment_size / 4;
}

/* Is most of the active segment dead? A shared event is wanted until the last of its queues has settled it, so counts
 * may mislead and the segment is measured. */
static bool is_mostly_dead(struct log *l, struct segment *s)
{
    uint64_t wanted = plan_wanted(s);
    bool mostly = wanted * 2 < s->size, last = l->spares == 1;
    l->measuring_active = mostly && (s->share_count || last) && !plan_measure_active(l, s, &wanted);
    return mostly && !l->measuring_active && wanted * 2 < s->size && (!last || fits_into_last(l, s));
}

/* There is no room for events, and the active segment is full and mostly dead: it must be sealed, because only a
 * sealed segment can be emptied and freed. */
static bool is_stuck(struct log *l)
{
    struct segment *s = segment_active(l);
    bool full = room_is_exhausted(l) && s->size > l->config.segment_size / 2 && room_may_seal_active(l);
    if (!full)
        plan_stop_measuring_active(l);
    return full && is_mostly_dead(l, s);
}

void group_commit(struct log *l)
{
    if (l->failed)
        return;
    sync_by_interval(l);
    l->measuring_active = false;
    if (l->carry_through)
        return;
    if (!l->committing && !has_reason(l) && is_stuck(l) && roll_over(l))
        l->committing = true; /* no group was placed, so commit_through stays */
    if (l->committing || !has_reason(l))
        return;
    group_gather_settled(l);
    uint64_t before = l->placed;
    l->commit_bytes = 0;
    bool whole = place_all(l);
    if (l->placed != before) {
        l->committing = true;
        l->commit_through = l->placed;
        l->sync_waits = true;
        if (l->config.sync == LOG_SYNC_GROUP)
            change(l, FILE_SYNC, segment_active(l), 0, NULL);
        if (whole)
            checkpoint_consider(l);
    } else if (!whole) {
        carry_consider(l);
    }
}

void group_free_durable(struct log *l)
{
    while (l->in_flight && l->in_flight->number <= l->durable) {
        struct group *g = l->in_flight;
        l->in_flight = g->next;
        for (size_t i = 0; i < g->settled_count; i++) {
            struct log_queue *q = log_queue_of(l, g->settled[i].queue, false);
            if (q)
                q->unsettled -= g->settled[i].count;
        }
        group_free(g);
    }
    if (!l->in_flight)
        l->last_in_flight = NULL;
}

void group_done(struct log *l, struct file_op *op)
{
    if (op->error) {
        log_fail(l, op->kind == FILE_SYNC ? "cannot sync" : "cannot write", op->name, op->offset, strerror(op->error));
        return;
    }
    wait_note(l, op);
    if (--l->changes)
        return;
    l->committing = false;
    l->written = l->durable = l->commit_through;
    for (uint32_t i = l->segment_count; i-- > 0;) {
        struct segment *s = l->segments[i];
        if (s->written == s->size && i + 1 < l->segment_count)
            break; /* not at the last one: it may be new and empty, behind one whose end was just written */
        s->written = s->size;
    }
    if (l->config.sync == LOG_SYNC_GROUP)
        l->synced = l->durable;
    group_free_durable(l);
    compact_durable(l);
}
