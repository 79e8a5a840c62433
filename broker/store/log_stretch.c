/* Splits a run into stretches when its segment is emptied; log_move.h says what these are. A copied stretch has only
 * the queues that want it as targets, so no copy claims events that are settled, or that have their place in another
 * segment. */
#include "broker/store/log_move.h"

#include "base/xalloc.h"

#include <stdlib.h>

bool stretch_next(struct stretches *s)
{
    while (s->at < s->count) {
        uint64_t end = s->count, until;
        s->wanting_count = 0;
        s->asked += s->target_count;
        for (uint32_t i = 0; i < s->target_count; i++) {
            const struct run_target *t = &s->targets[i];
            if (s->ask(s->context, i, t, t->first + s->at, &until))
                s->wanting[s->wanting_count++] = (struct run_target){ t->queue, t->first + s->at };
            end = until - t->first < end ? until - t->first : end;
        }
        s->from = s->at;
        s->events = end - s->at;
        s->at = end;
        if (s->wanting_count)
            return true;
    }
    return false;
}

void stretch_move(struct group *g, const struct stretches *s, int64_t accepted_ms, struct span lane, uint64_t bytes)
{
    struct buf targets = { 0 };
    size_t start = g->records.size;
    struct group_run placed = { .bytes = bytes, .moved = true };
    if (s->wanting_count == 1) {
        struct run_record run = {
            .queue = s->wanting->queue, .first = s->wanting->first, .count = s->events, .accepted_ms = accepted_ms
        };
        run_write_raw(&g->records, RECORD_MOVED, &run, lane);
    } else {
        targets_write(&targets, s->wanting, s->wanting_count);
        struct shared_record run = { .moved = true,
                                     .target_count = s->wanting_count,
                                     .targets = buf_span(&targets),
                                     .count = s->events,
                                     .accepted_ms = accepted_ms };
        shared_write_raw(&g->records, &run, lane);
    }
    placed.entry = (struct table_entry){ s->wanting->queue, (uint32_t)s->events, s->wanting->first, (uint32_t)start,
                                         (uint32_t)(g->records.size - start) };
    if (s->wanting_count == 1)
        group_add_run(g, &placed);
    else
        group_add_shared(g, placed, s->wanting_count, buf_span(&targets));
    buf_free(&targets);
}

struct span stretch_lane(struct stretches *s, const struct shared_record *run, uint64_t *bytes)
{
    struct run_record walk = { .events = s->walked ? s->rest : run->events };
    struct span event, lane, all = { 0 };
    *bytes = 0;
    for (; s->walked < s->from + s->events && run_next(&walk, &event, &lane); s->walked++) {
        if (s->walked < s->from)
            continue;
        all = s->walked == s->from ? lane : span_of(all.data, all.size + lane.size);
        *bytes += event.size;
    }
    s->rest = walk.events;
    return all;
}

/* ------------------------------------------------------------------ what is live in a segment */

static bool is_live(void *context, uint32_t target, const struct run_target *t, uint64_t sequence, uint64_t *until)
{
    const struct live_filter *live = context;
    struct log_queue *q = live->queues[target];
    const struct extent *x = q ? extent_at(q, sequence) : NULL;
    uint64_t gap, settled, end;
    (void)t;
    *until = UINT64_MAX;
    if (!x)
        return false;
    *until = x->first > sequence ? x->first : x->end;
    if (x->first > sequence || x->segment != live->segment)
        return false;
    gap = ranges_next_gap(&q->settled, sequence);
    if (gap != sequence) {
        *until = gap;
        return false;
    }
    if (ranges_next(&q->settled, sequence, &settled, &end) && settled < *until)
        *until = settled;
    return true;
}

static void make_room(struct live_filter *live, uint32_t count)
{
    if (count <= live->capacity)
        return;
    live->capacity = count * 2;
    live->targets = xrealloc(live->targets, live->capacity * sizeof *live->targets);
    live->wanting = xrealloc(live->wanting, live->capacity * sizeof *live->wanting);
    live->queues = xrealloc(live->queues, live->capacity * sizeof(struct log_queue *));
}

struct stretches live_stretches(struct live_filter *live, const struct table_entry *e, struct target_reader targets)
{
    uint32_t count = 0;
    make_room(live, targets.left + 1); /* +1: target_next fills one slot before the end is known */
    if (targets.left == 0)
        live->targets[count++] = (struct run_target){ e->queue, e->first };
    while (target_next(&targets, &live->targets[count]))
        count++;
    for (uint32_t i = 0; i < count; i++)
        live->queues[i] = log_queue_of(live->log, live->targets[i].queue, false);
    return (struct stretches){ .ask = is_live,
                               .context = live,
                               .targets = live->targets,
                               .target_count = count,
                               .count = e->count,
                               .wanting = live->wanting };
}

void live_free(struct live_filter *live)
{
    free(live->targets);
    free(live->wanting);
    free(live->queues);
}
