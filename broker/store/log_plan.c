/* Which segment is emptied, and in which order its records are moved.
 *
 * A segment is wanted until the last queue has settled the last event in it. Where queues share runs, counts cannot
 * tell how much of it is wanted: of ten queues nine may be through with all of the segment, or each of them with nine
 * tenths of it. So counts only choose the segment to measure. Its table names the queues of every run; measuring it
 * sums up the bytes that any queue wants, each once, and the bytes that moving them would write. Then the records are
 * moved in the order of their offsets, each for all its queues. */
#include "broker/store/log_move.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define PART_BYTES      (1u << 20)
#define GAP_MAX         (64u << 10)
#define IDLE_MS         1000
#define MEASURE_AT_ONCE 16384u /* questions whether a queue wants a stretch, per turn: a few milliseconds */
/* Roughly what a moved part of a run costs besides its events, in its record and in the table; and what each of its
 * queues adds. */
#define STRETCH_BYTES 40u
#define WANTING_BYTES 12u

struct place {
    uint32_t offset, size;
    uint64_t takes; /* roughly the bytes it takes where it is moved to, its share of the table included */
};

struct plan {
    struct segment *segment;
    uint64_t id; /* the segment's */
    struct buf table;
    struct table_reader reader;
    struct live_filter live;
    struct place *places; /* the records that some queue wants */
    uint32_t count, capacity;
    uint32_t next;     /* index of the next record to move; while the active segment is measured: of its next run */
    uint32_t part_end; /* index behind the last record of the part that is being moved */
    uint64_t wanted, cost, events; /* measured so far: as the segment's measured_bytes, _cost and _events */
    uint64_t rest;                 /* sum of `takes` of the places from `next` on */
    bool measured;
};

/* ------------------------------------------------------------------ choosing a segment */

/* Until the segment is measured: its bytes times the share of its events that are live, but no more bytes than these
 * events have, because it may be full of settlements and notes, which are not moved. */
uint64_t plan_wanted(const struct segment *s)
{
    if (s->measured_events)
        return s->measured_bytes * s->live_events / s->measured_events;
    uint64_t share = s->all_events ? s->size * s->live_events / s->all_events : 0;
    uint64_t own = s->live_bytes + s->live_events * STRETCH_BYTES;
    return own < share ? own : share;
}

/* What emptying it would give back. Where there is no room that is its whole file, even if it was sealed early (a
 * start does that). */
static uint64_t gain_of(const struct log *l, const struct segment *s)
{
    return l->no_room ? s->file_bytes : s->size;
}

/* A segment is worth measuring again when an eighth of the events that were live then are settled. */
static bool has_changed(const struct segment *s)
{
    return s->measured_events == 0 || s->live_events * 8 <= s->measured_events * 7;
}

static bool is_candidate(const struct log *l, const struct segment *s)
{
    bool may_go_on = s->no_place && group_has_place(l, s->measured_cost);
    return (has_changed(s) || may_go_on) && s->written == s->size && plan_wanted(s) * 2 < gain_of(l, s);
}

/* Is less than half of what is used, beyond one segment, wanted? Where there is no room: could a whole segment be
 * gained? */
static bool is_wasteful(const struct log *l, uint32_t count)
{
    uint64_t used = 0, live = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct segment *s = l->segments[i];
        if (s->live_events == 0)
            continue; /* the next checkpoint frees it */
        used += gain_of(l, s);
        live += plan_wanted(s);
    }
    return used > (l->no_room ? live : 2 * live) + l->config.segment_size;
}

bool plan_may_seal_active(const struct log *l)
{
    return is_wasteful(l, l->segment_count);
}

static struct segment *choose_wasteful(const struct log *l)
{
    struct segment *least = NULL;
    for (uint32_t i = 0; i + 1 < l->segment_count; i++) {
        struct segment *s = l->segments[i];
        if (s->live_events && is_candidate(l, s) && (!least || plan_wanted(s) < plan_wanted(least)))
            least = s;
    }
    return least && is_wasteful(l, l->segment_count - 1) ? least : NULL;
}

/* ------------------------------------------------------------------ when nothing else gives room */

/* What moving it would take, as far as that is known. */
static uint64_t cost_of(const struct segment *s)
{
    return has_changed(s) ? plan_wanted(s) : s->measured_cost;
}

/* Nothing in it was settled since watch_all, so it will not become free by itself. Segments that were measured, found
 * too costly and have not changed since are left out. */
static bool is_idle(const struct segment *s)
{
    bool in_vain = s->too_costly && !has_changed(s);
    return s->live_events && s->written == s->size && s->watched_events == s->live_events && !in_vain;
}

static void watch_all(struct log *l)
{
    for (uint32_t i = 0; i + 1 < l->segment_count; i++)
        l->segments[i]->watched_events = l->segments[i]->live_events;
    l->exhausted_since = l->now;
}

/* Events wait for room, and for IDLE_MS no segment was freed: what is wanted is spread over segments that are more
 * than half full of it, and stays there. One of the idle segments is emptied, if that gains room; at most one every
 * IDLE_MS. */
static struct segment *choose_idle(struct log *l)
{
    struct segment *least = NULL;
    if (!room_is_exhausted(l)) {
        l->exhausted_since = MONO_NEVER;
        return NULL;
    }
    if (l->exhausted_since.ns != INT64_MAX && mono_since_ms(l->now, l->exhausted_since) < IDLE_MS)
        return NULL;
    for (uint32_t i = 0; i + 1 < l->segment_count && l->exhausted_since.ns != INT64_MAX; i++) {
        struct segment *s = l->segments[i];
        if (is_idle(s) && room_is_gained_by(l, cost_of(s)) && (!least || cost_of(s) < cost_of(least)))
            least = s;
    }
    watch_all(l);
    return least;
}

struct segment *plan_choose(struct log *l)
{
    struct segment *s = choose_wasteful(l);
    return s ? s : choose_idle(l);
}

/* ------------------------------------------------------------------ measuring */

static void add_place(struct plan *p, const struct table_entry *e, uint64_t takes)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->places = xrealloc(p->places, p->capacity * sizeof *p->places);
    }
    p->places[p->count++] = (struct place){ e->offset, e->size, takes };
    p->rest += takes;
}

static size_t table_share(const struct stretches *s)
{
    return s->wanting_count == 1 ? table_growth(1, 0, 0) : table_growth(1, 1, s->wanting_count * WANTING_BYTES);
}

/* Measures one run. Returns how much work it was: where each queue has settled other events, a run falls into as many
 * stretches as it has events, and each of its queues is asked about each of them. */
static uint64_t measure_run(struct plan *p, const struct table_item *item)
{
    const struct table_entry *e = &item->e;
    struct stretches s = live_stretches(&p->live, e, targets_open(item->targets, item->target_count, item->past));
    uint64_t events = 0, takes = 0;
    while (stretch_next(&s)) {
        uint64_t bytes = (uint64_t)e->size * s.events / e->count;
        bytes += s.events == e->count ? 0 : STRETCH_BYTES + s.wanting_count * WANTING_BYTES;
        p->cost += bytes;
        takes += bytes + table_share(&s);
        p->events += s.events * s.wanting_count;
        events += s.events;
    }
    p->wanted += e->size * events / e->count;
    if (events)
        add_place(p, e, takes);
    return s.asked;
}

static int by_offset(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

bool plan_is_begun(const struct plan *p)
{
    return p->next > 0;
}

/* With a margin for the headers of groups. */
uint64_t plan_rest(const struct plan *p)
{
    return p->rest ? p->rest + p->rest / 16 + GROUP_HEADER_SIZE : 0;
}

static void remember(struct segment *s, const struct plan *p)
{
    s->measured_bytes = p->wanted;
    s->measured_events = p->events;
    s->measured_cost = plan_rest(p);
    s->no_place = false;
    s->too_costly = p->cost * 4 > gain_of(p->live.log, s) * 3;
}

static void finish_measuring(struct plan *p)
{
    p->measured = true;
    if (p->count)
        qsort(p->places, p->count, sizeof *p->places, by_offset);
    remember(p->segment, p);
    buf_free(&p->table);
}

struct plan *plan_new(struct log *l, struct segment *s, struct buf *table)
{
    struct plan *p = xcalloc(1, sizeof *p);
    struct record r;
    p->segment = s;
    p->live = (struct live_filter){ .segment = s, .log = l };
    p->table = *table;
    *table = (struct buf){ 0 };
    struct span rest = buf_span(&p->table);
    if (rest.size == s->table_size && record_next(&rest, &r) == LOG_OK && table_open(&r, &p->reader))
        return p;
    plan_free(p);
    return NULL;
}

bool plan_measure(struct plan *p, bool *damaged)
{
    struct table_item item;
    enum log_status status = LOG_OK;
    for (uint64_t done = 0; !p->measured && done < MEASURE_AT_ONCE; done++) {
        status = table_next(&p->reader, &item);
        if (status != LOG_OK)
            break;
        if (item.e.count && (uint64_t)item.e.offset + item.e.size <= p->segment->table_at)
            done += measure_run(p, &item);
    }
    *damaged = status == LOG_BAD;
    if (status == LOG_END)
        finish_measuring(p);
    return p->measured;
}

bool plan_is_measured(const struct plan *p)
{
    return p->measured;
}

/* What this segment has was measured; only the sum over all segments is an estimate. */
bool plan_pays(const struct plan *p)
{
    const struct segment *s = p->segment;
    const struct log *l = p->live.log;
    if (!p->measured || s->too_costly)
        return false;
    bool wasteful = plan_wanted(s) * 2 < gain_of(l, s) && is_wasteful(l, l->segment_count - 1);
    return wasteful || (room_is_exhausted(l) && room_is_gained_by(l, s->measured_cost));
}

/* ------------------------------------------------------------------ measuring the active segment */

void plan_stop_measuring_active(struct log *l)
{
    plan_free(l->active_plan);
    l->active_plan = NULL;
}

static struct plan *active_plan_of(struct log *l, struct segment *s)
{
    if (l->active_plan && l->active_plan->id != s->id)
        plan_stop_measuring_active(l);
    if (!l->active_plan) {
        l->active_plan = xcalloc(1, sizeof *l->active_plan);
        *l->active_plan = (struct plan){ .segment = s, .id = s->id, .live = { .segment = s, .log = l } };
    }
    return l->active_plan;
}

/* May take several turns. What is settled in the meantime changes the sum a little, as it does after measuring. */
bool plan_measure_active(struct log *l, struct segment *s, uint64_t *bytes)
{
    struct plan *p = has_changed(s) ? active_plan_of(l, s) : NULL;
    for (uint64_t done = 0; p && p->next < s->table_count; done++) {
        if (done >= MEASURE_AT_ONCE)
            return false;
        struct table_item item = { .e = s->table[p->next++] };
        if (item.e.queue == SHARED_MARK)
            item = segment_shared(s, (uint32_t)item.e.first);
        done += measure_run(p, &item);
    }
    if (p)
        remember(s, p);
    plan_stop_measuring_active(l);
    *bytes = plan_wanted(s);
    return true;
}

/* ------------------------------------------------------------------ moving */

bool plan_part(struct plan *p, uint32_t *offset, uint32_t *size)
{
    uint32_t i = p->next;
    if (i == p->count)
        return false;
    uint64_t start = p->places[i].offset, end = start;
    for (; i < p->count; i++) {
        const struct place *place = &p->places[i];
        uint64_t to = (uint64_t)place->offset + place->size;
        if (i > p->next && (place->offset > end + GAP_MAX || to - start > PART_BYTES))
            break;
        end = to > end ? to : end;
    }
    p->part_end = i;
    *offset = (uint32_t)start;
    *size = (uint32_t)(end - start);
    return true;
}

bool plan_record(struct plan *p, uint32_t *offset, uint32_t *size)
{
    if (p->next == p->part_end)
        return false;
    *offset = p->places[p->next].offset;
    *size = p->places[p->next].size;
    p->rest -= p->places[p->next].takes;
    p->next++;
    return true;
}

struct live_filter *plan_live(struct plan *p)
{
    return &p->live;
}

void plan_free(struct plan *p)
{
    if (!p)
        return;
    buf_free(&p->table);
    live_free(&p->live);
    free(p->places);
    free(p);
}
