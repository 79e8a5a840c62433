/* The log's invariants: its counts against what they count. */
#include "broker/store/log_parts.h"

#include <stdio.h>
#include <stdlib.h>

static void hold(bool fine, const char *what, uint64_t id, uint64_t counted, uint64_t said)
{
    if (fine)
        return;
    fprintf(stderr, "log_validate: %s (%llu): counted %llu, it says %llu\n", what, (unsigned long long)id,
            (unsigned long long)counted, (unsigned long long)said);
    abort();
}

static void equal(const char *what, uint64_t id, uint64_t counted, uint64_t said)
{
    hold(counted == said, what, id, counted, said);
}

/* ------------------------------------------------------------------ queues */

static void check_extents(const struct log *l, const struct log_queue *q)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < q->extent_count; i++) {
        const struct extent *x = &q->extents[i];
        hold(x->first >= end && x->end > x->first, "extents are out of order in queue", q->id, x->first, end);
        hold(x->segment == segment_find(l, x->segment->id), "extent of a segment that is gone, queue", q->id, 0, 0);
        equal("live events of an extent, queue", q->id,
              x->end - x->first - ranges_count_in(&q->settled, x->first, x->end), x->live);
        hold(x->live > 0, "an extent without live events, queue", q->id, 0, 0);
        for (uint32_t r = 1; r < x->run_count; r++)
            hold(x->runs[r - 1].first + x->runs[r - 1].count <= x->runs[r].first, "runs are out of order in queue",
                 q->id, x->runs[r].first, x->runs[r - 1].first);
        end = x->end;
    }
    hold(end <= q->placed_end, "an extent ends behind everything placed, queue", q->id, end, q->placed_end);
}

/* Settled sequences are remembered within extents, and for events that have no place yet; nowhere else. */
static void check_settled(const struct log_queue *q)
{
    uint64_t within = 0, all = 0;
    hold(ranges_validate(&q->settled), "settled ranges of queue", q->id, 0, 0);
    for (uint32_t i = 0; i < q->extent_count; i++)
        within += ranges_count_in(&q->settled, q->extents[i].first, q->extents[i].end);
    for (size_t i = 0; i < q->settled.count; i++)
        all += ranges_at(&q->settled, i)->end - ranges_at(&q->settled, i)->first;
    equal("settled sequences remembered, queue", q->id,
          within + ranges_count_in(&q->settled, q->placed_end, UINT64_MAX), all);
}

struct waiting {
    uint64_t events, settled;
};

static uint32_t targets_in(const struct group *g, const struct group_run *run, uint32_t queue)
{
    struct target_reader targets = group_targets(g, run);
    struct run_target t;
    uint32_t found = run->target_count == 0 && run->entry.queue == queue;
    while (target_next(&targets, &t))
        found += t.queue == queue;
    return found;
}

static void count_group(const struct group *g, uint32_t queue, bool placed, struct waiting *w)
{
    for (; g; g = g->next) {
        for (size_t i = 0; !placed && i < g->run_count; i++) {
            if (!g->runs[i].moved)
                w->events += (uint64_t)g->runs[i].entry.count * targets_in(g, &g->runs[i], queue);
        }
        for (size_t i = 0; i < g->settled_count; i++)
            w->settled += g->settled[i].queue == queue ? g->settled[i].count : 0;
    }
}

static void check_counts(const struct log *l, const struct log_queue *q)
{
    struct waiting w = { .settled = q->fresh.events };
    uint64_t live = 0;
    count_group(l->first_closed, q->id, false, &w);
    count_group(l->open, q->id, false, &w);
    count_group(l->in_flight, q->id, true, &w);
    for (uint32_t i = 0; i < q->extent_count; i++)
        live += q->extents[i].live;
    equal("live events of queue", q->id, live + w.events - ranges_count_in(&q->settled, q->placed_end, UINT64_MAX),
          q->live);
    equal("settlements that are not durable, queue", q->id, w.settled, q->unsettled);
    hold(q->live > 0 || q->live_bytes == 0, "bytes of no event, queue", q->id, 0, q->live_bytes);
    hold(q->fresh.count == 0 || q->listed, "settlements nobody will write, queue", q->id, q->fresh.count, 0);
}

/* ------------------------------------------------------------------ segments */

static void check_segment(const struct log *l, uint32_t index)
{
    const struct segment *s = l->segments[index];
    uint64_t live = 0, bytes = 0;
    for (const struct log_queue *q = l->queues; q; q = q->hh.next) {
        for (uint32_t i = 0; i < q->extent_count; i++) {
            live += q->extents[i].segment == s ? q->extents[i].live : 0;
            bytes += q->extents[i].segment == s ? q->extents[i].live_bytes : 0;
        }
    }
    equal("live events of segment", s->id, live, s->live_events);
    equal("live bytes of segment", s->id, bytes, s->live_bytes);
    hold(s->live_events <= s->all_events, "events ever placed in segment", s->id, s->live_events, s->all_events);
    hold(s->written <= s->size, "written of segment", s->id, s->written, s->size);
    if (l->written == l->placed && !l->committing)
        hold(s->written == s->size, "everything written of segment", s->id, s->written, s->size);
    equal("sealed, all but the last, segment", s->id, index + 1 < l->segment_count, s->sealed);
    hold(s->table_count >= s->share_count && (!s->sealed || s->table_count == 0), "places of runs of segment", s->id,
         s->table_count, s->share_count);
    hold(index == 0 || l->segments[index - 1]->id < s->id, "segments are out of order", s->id, 0, 0);
}

static void check_files(const struct log *l)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < l->segment_count; i++)
        bytes += l->segments[i]->file_bytes;
    equal("bytes of segments' files", 0, bytes, l->segment_bytes);
}

static void check_groups(const struct log *l)
{
    hold(l->synced <= l->durable && l->durable <= l->placed && l->placed < l->next_number, "numbers of groups",
         l->placed, l->durable, l->next_number);
    uint64_t number = l->durable;
    for (const struct group *g = l->in_flight; g; g = g->next)
        equal("a group in flight's number", g->number, ++number, g->number);
    equal("the group placed last", l->placed, number, l->placed);
    for (const struct group *g = l->first_closed; g; g = g->next)
        equal("a closed group's number", g->number, ++number, g->number);
    if (l->open)
        equal("the open group's number", l->open->number, ++number, l->open->number);
    equal("the next group's number", 0, number + 1, l->next_number);
}

/* Admitted events have a place, behind the groups that come before them. */
static void check_room(const struct log *l)
{
    const struct segment *s = segment_active(l);
    uint64_t end = s->size + segment_table_size(s), waiting = 0;
    for (const struct group *g = l->first_closed; g; g = g->next) {
        waiting += group_bytes(g);
        if (g->has_events && l->spares == 0)
            hold(s->size == SEGMENT_HEADER_SIZE || end + waiting <= l->config.segment_size,
                 "events that find no place, in group", g->number, end + waiting, l->config.segment_size);
    }
    equal("bytes of closed groups", 0, waiting, l->closed_bytes);
}

void log_validate(const struct store *s)
{
    const struct log *l = (const struct log *)(const void *)s;
    if (l->failed)
        return; /* what was under way then is never completed */
    for (const struct log_queue *q = l->queues; q; q = q->hh.next) {
        check_extents(l, q);
        check_settled(q);
        check_counts(l, q);
    }
    for (uint32_t i = 0; i < l->segment_count; i++)
        check_segment(l, i);
    check_files(l);
    check_groups(l);
    check_room(l);
}
