/* Segments, and where each queue's events are. A queue's extents say which of its sequences are in which segment. An
 * extent of the active segment also knows where its runs are. When the segment is sealed these places become its
 * table, and they are read back from there when the queue's backlog is loaded. So memory holds an extent per queue
 * and segment, not an entry per event. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void segment_name(char out[FILE_NAME_SIZE], uint64_t id)
{
    snprintf(out, FILE_NAME_SIZE, "%016" PRIx64 ".log", id);
}

bool segment_id_of(const char *name, uint64_t *id)
{
    char *end;
    if (strlen(name) != 20 || strcmp(name + 16, ".log") != 0)
        return false;
    *id = strtoull(name, &end, 16);
    return end == name + 16 && *id > 0;
}

struct segment *segment_active(const struct log *l)
{
    return l->segment_count ? l->segments[l->segment_count - 1] : NULL;
}

struct segment *segment_add(struct log *l, uint64_t id)
{
    assert(l->segment_count == 0 || segment_active(l)->id < id);
    if (l->segment_count == l->segment_capacity) {
        l->segment_capacity = l->segment_capacity ? l->segment_capacity * 2 : 16;
        l->segments = xrealloc(l->segments, l->segment_capacity * sizeof(struct segment *));
    }
    struct segment *s = xcalloc(1, sizeof *s);
    s->id = id;
    s->size = s->written = SEGMENT_HEADER_SIZE;
    l->segments[l->segment_count++] = s;
    segment_set_file_bytes(l, s, l->config.segment_size);
    return s;
}

void segment_set_file_bytes(struct log *l, struct segment *s, uint64_t size)
{
    l->segment_bytes += size - s->file_bytes;
    s->file_bytes = size;
}

static uint32_t segment_index(const struct log *l, uint64_t id)
{
    uint32_t low = 0, high = l->segment_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->segments[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct segment *segment_find(const struct log *l, uint64_t id)
{
    uint32_t i = segment_index(l, id);
    return i < l->segment_count && l->segments[i]->id == id ? l->segments[i] : NULL;
}

void segment_remove(struct log *l, uint64_t id)
{
    uint32_t i = segment_index(l, id);
    assert(i < l->segment_count && l->segments[i]->id == id && l->segments[i]->live_events == 0);
    l->segment_bytes -= l->segments[i]->file_bytes;
    segment_free(l->segments[i]);
    memmove(l->segments + i, l->segments + i + 1, (l->segment_count - i - 1) * sizeof(struct segment *));
    l->segment_count--;
}

size_t segment_table_size(const struct segment *s)
{
    return GROUP_HEADER_SIZE + table_bound(s->table_count - s->share_count, s->share_count, s->share_targets.size);
}

/* ------------------------------------------------------------------ extents */

static void free_runs(struct extent *x)
{
    free(x->runs);
    x->runs = NULL;
    x->run_count = x->run_capacity = 0;
    x->runs_incomplete = false;
}

void segment_forget_runs(struct log_queue *q, const struct segment *s)
{
    for (uint32_t i = 0; i < q->extent_count; i++) {
        if (q->extents[i].segment == s)
            free_runs(&q->extents[i]);
    }
}

/* Index of the first extent that ends behind `sequence`. */
static uint32_t extent_index(const struct log_queue *q, uint64_t sequence)
{
    if (q->extent_count && q->extents[0].end > sequence)
        return 0; /* the usual case: events settle from the front */
    uint32_t low = 0, high = q->extent_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (q->extents[middle].end <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct extent *extent_at(struct log_queue *q, uint64_t sequence)
{
    uint32_t i = extent_index(q, sequence);
    return i < q->extent_count ? &q->extents[i] : NULL;
}

bool extent_is_live(const struct log_queue *q, uint64_t sequence)
{
    uint32_t i = extent_index(q, sequence);
    return i < q->extent_count && q->extents[i].first <= sequence && !ranges_has(&q->settled, sequence);
}

static struct extent *insert_extent(struct log_queue *q, uint32_t i, struct extent x)
{
    if (q->extent_count == q->extent_capacity) {
        q->extent_capacity = q->extent_capacity ? q->extent_capacity * 2 : 4;
        q->extents = xrealloc(q->extents, q->extent_capacity * sizeof *q->extents);
    }
    memmove(q->extents + i + 1, q->extents + i, (q->extent_count - i) * sizeof *q->extents);
    q->extents[i] = x;
    q->extent_count++;
    return &q->extents[i];
}

static void remove_extent(struct log_queue *q, uint32_t i)
{
    struct extent *x = &q->extents[i];
    ranges_remove(&q->settled, x->first, x->end);
    free_runs(x);
    memmove(q->extents + i, q->extents + i + 1, (q->extent_count - i - 1) * sizeof *q->extents);
    q->extent_count--;
}

void extent_add_run(struct extent *x, const struct table_entry *e)
{
    if (x->run_count == x->run_capacity) {
        x->run_capacity = x->run_capacity ? x->run_capacity * 2 : 4;
        x->runs = xrealloc(x->runs, x->run_capacity * sizeof *x->runs);
    }
    x->runs[x->run_count++] = *e;
}

/* Remembers where a run is. A shared run may have a thousand queues, so its place is not kept in each of them: it is
 * looked up in the segment's table when it is wanted (log_shared_runs.c). */
static void remember_run(struct extent *x, const struct table_entry *e, bool shared)
{
    if (x->runs_incomplete)
        return;
    if (!shared) {
        extent_add_run(x, e);
        return;
    }
    x->runs_incomplete = true;
    x->next_table_run = x->segment->table_count - 1;
}

void extent_add(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared)
{
    struct log_queue *q = log_queue_of(l, e->queue, false);
    if (!q)
        return; /* the queue was forgotten in the meantime */
    uint64_t early = ranges_count_in(&q->settled, e->first, e->first + e->count);
    q->placed_end = e->first + e->count;
    if (early == e->count) {
        ranges_remove(&q->settled, e->first, q->placed_end);
        return;
    }
    struct extent *last = q->extent_count ? &q->extents[q->extent_count - 1] : NULL;
    assert(!last || last->end <= e->first);
    if (!last || last->segment != s || last->end != e->first)
        last = insert_extent(q, q->extent_count, (struct extent){ .first = e->first, .end = e->first, .segment = s });
    remember_run(last, e, shared);
    last->end = e->first + e->count;
    bytes = bytes * (e->count - early) / e->count;
    last->live += e->count - early;
    last->live_bytes += bytes;
    s->live_events += e->count - early;
    s->live_bytes += bytes;
}

/* Subtracts events and bytes from an extent and its segment. Returns the bytes subtracted: they are approximate where
 * a settled range crossed extents, and the last event takes what is left. */
static uint64_t take_bytes(struct extent *x, uint64_t events, uint64_t bytes)
{
    if (x->live == events || bytes > x->live_bytes)
        bytes = x->live_bytes;
    x->live -= events;
    x->live_bytes -= bytes;
    x->segment->live_events -= events;
    x->segment->live_bytes -= bytes;
    return bytes;
}

uint64_t extent_settle(struct log *l, struct log_queue *q, uint64_t first, uint64_t end, uint64_t bytes)
{
    (void)l;
    uint64_t live = 0, left = bytes;
    uint32_t i = extent_index(q, first);
    while (i < q->extent_count && q->extents[i].first < end) {
        struct extent *x = &q->extents[i];
        uint64_t from = first > x->first ? first : x->first, to = end < x->end ? end : x->end;
        uint64_t gone = ranges_add(&q->settled, from, to);
        uint64_t share = to == end ? left : bytes * gone / (end - first);
        share = share < left ? share : left;
        take_bytes(x, gone, share);
        left -= share;
        live += gone;
        if (x->live == 0)
            remove_extent(q, i);
        else
            i++;
    }
    if (end > q->placed_end) /* settled before it got its place: purged right away, for example */
        live += ranges_add(&q->settled, first > q->placed_end ? first : q->placed_end, end);
    q->live -= live;
    q->live_bytes -= q->live == 0 || bytes > q->live_bytes ? q->live_bytes : bytes;
    return live;
}

void extent_drop_all(struct log *l, struct log_queue *q)
{
    (void)l;
    while (q->extent_count) {
        take_bytes(&q->extents[q->extent_count - 1], q->extents[q->extent_count - 1].live, UINT64_MAX);
        remove_extent(q, q->extent_count - 1);
    }
    q->live = q->live_bytes = 0;
}

/* ------------------------------------------------------------------ moving */

/* Cuts [first, end) out of the extent at `i`, which holds all of it. What remains on both sides keeps the places of
 * its runs; a run that reaches across the cut stays in both, which is harmless. *bytes in: approximately of the
 * events; out: what was subtracted for them. Returns the index at which the events that were cut out belong. */
static uint32_t cut_extent(struct log_queue *q, uint32_t i, uint64_t first, uint64_t end, uint64_t *bytes)
{
    struct extent right = q->extents[i];
    struct extent *x = &q->extents[i];
    uint64_t inside = end - first; /* all live: the caller made sure */
    uint64_t left_live = (first - x->first) - ranges_count_in(&q->settled, x->first, first);
    uint64_t total = x->live;
    *bytes = take_bytes(x, inside, *bytes);
    right.first = end;
    right.live = total - inside - left_live;
    right.runs = NULL;
    right.run_count = right.run_capacity = 0;
    right.runs_incomplete = false; /* nothing is moved out of the active segment */
    right.live_bytes = x->live ? x->live_bytes * right.live / x->live : 0;
    x->live = left_live;
    x->live_bytes -= right.live_bytes;
    x->end = first;
    for (uint32_t r = 0; right.live && r < x->run_count; r++) {
        if (x->runs[r].first + x->runs[r].count > end)
            extent_add_run(&right, &x->runs[r]);
    }
    uint32_t at = i + 1;
    if (right.live)
        insert_extent(q, i + 1, right);
    else
        ranges_remove(&q->settled, end, right.end);
    if (q->extents[i].live == 0) {
        remove_extent(q, i);
        at = i;
    }
    return at;
}

/* Inserts the moved extent, or merges it with the extent before it if it continues that one. */
static void put_moved(struct log_queue *q, uint32_t at, struct extent moved, const struct table_entry *e, bool shared)
{
    struct extent *x = at ? &q->extents[at - 1] : NULL;
    if (!x || x->segment != moved.segment || x->end != moved.first) {
        remember_run(insert_extent(q, at, moved), e, shared);
        return;
    }
    x->end = moved.end;
    x->live += moved.live;
    x->live_bytes += moved.live_bytes;
    if (x->run_count == 0 || x->runs[x->run_count - 1].offset != e->offset)
        remember_run(x, e, shared);
}

static void move_range(struct log *l, struct log_queue *q, struct segment *s, const struct table_entry *e,
                       uint64_t first, uint64_t end, uint64_t bytes, bool shared)
{
    (void)l;
    uint32_t at = cut_extent(q, extent_index(q, first), first, end, &bytes);
    struct extent moved = { .first = first, .end = end, .segment = s, .live = end - first, .live_bytes = bytes };
    put_moved(q, at, moved, e, shared);
    s->live_events += end - first;
    s->live_bytes += bytes;
}

void extent_move(struct log *l, struct segment *s, const struct table_entry *e, uint64_t bytes, bool shared)
{
    struct log_queue *q = log_queue_of(l, e->queue, false);
    uint64_t next = e->first, end = e->first + e->count;
    while (q && next < end) {
        uint32_t i = extent_index(q, next);
        if (i == q->extent_count || q->extents[i].first >= end)
            return;
        struct extent *x = &q->extents[i];
        uint64_t from = next > x->first ? next : x->first;
        from = ranges_next_gap(&q->settled, from); /* the first live one */
        uint64_t to = end < x->end ? end : x->end, settled, settled_end;
        if (from < to && ranges_next(&q->settled, from, &settled, &settled_end) && settled < to)
            to = settled;
        if (from >= to) {
            next = to > next ? to : next + 1;
            continue;
        }
        if (x->segment != s)
            move_range(l, q, s, e, from, to, bytes * (to - from) / e->count, shared);
        next = to;
    }
}

/* ------------------------------------------------------------------ tables */

void segment_add_run(struct segment *s, const struct table_entry *e)
{
    if (s->table_count == s->table_capacity) {
        s->table_capacity = s->table_capacity ? s->table_capacity * 2 : 64;
        s->table = xrealloc(s->table, s->table_capacity * sizeof *s->table);
    }
    s->table[s->table_count++] = *e;
    s->all_events += e->count;
}

static void free_table(struct segment *s)
{
    free(s->table);
    s->table = NULL;
    s->table_count = s->table_capacity = 0;
    free(s->shares);
    s->shares = NULL;
    s->share_count = s->share_capacity = 0;
    buf_free(&s->share_targets);
}

void segment_free(struct segment *s)
{
    free_table(s);
    free(s);
}

void segment_drop_places(struct log *l, struct segment *s)
{
    for (struct log_queue *q = l->queues; q; q = q->hh.next)
        segment_forget_runs(q, s);
    free_table(s);
}

/* Removes the entries of shared runs: the table on disk has a list of its own for these. */
static void take_out_marks(struct segment *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->table_count; i++) {
        if (s->table[i].queue != SHARED_MARK)
            s->table[kept++] = s->table[i];
    }
    s->table_count = kept;
}

void segment_build_table(struct log *l, struct segment *s, struct buf *records)
{
    struct table_item *shared = s->share_count ? xcalloc(s->share_count, sizeof *shared) : NULL;
    for (uint32_t i = 0; i < s->share_count; i++)
        shared[i] = segment_shared(s, i);
    take_out_marks(s);
    table_write(records, s->table, s->table_count, shared, s->share_count);
    segment_drop_places(l, s);
    free(shared);
}
