/* Moving stragglers: when less than half of what lies in sealed segments is live, the one with the least live share is emptied, its live
 * events written again as MOVED runs. It is freed by the checkpoint after that. One part at a time, so that it never
 * competes much with what clients wait for. */
#include "broker/store/log_state.h"

#include <stdlib.h>

#define PART_BYTES (1u << 20)

static uint64_t live_share(const struct segment *s)
{
    return s->all_events ? s->size * s->live_events / s->all_events : 0;
}

/* The sealed segment worth emptying, NULL when live data is at least half of what is used beyond one segment. */
static struct segment *choose(const struct log *l)
{
    struct segment *least = NULL;
    uint64_t used = 0, live = 0;
    for (uint32_t i = 0; i + 1 < l->segment_count; i++) {
        struct segment *s = l->segments[i];
        if (s->live_events == 0)
            continue; /* the next checkpoint frees it */
        used += s->size;
        live += live_share(s);
        if (live_share(s) * 2 < s->size && (!least || live_share(s) < live_share(least)))
            least = s;
    }
    return used > 2 * live + l->config.segment_size ? least : NULL;
}

/* Starts reading the next part; false when nothing in the victim is live any more. */
static bool read_part(struct log *l)
{
    for (struct log_queue *q = l->queues; q && l->victim->live_events; q = q->hh.next) {
        for (uint32_t i = 0; i < q->extent_count; i++) {
            if (q->extents[i].segment != l->victim || q->extents[i].live == 0)
                continue;
            l->moving = true;
            load_start(l, q->id, q->extents[i].first, PART_BYTES, 0, true);
            return true;
        }
    }
    return false;
}

void compact_consider(struct log *l)
{
    if (l->failed || l->moving || l->loads || l->stopping)
        return;
    if (!l->victim)
        l->victim = choose(l);
    if (l->victim && !read_part(l))
        l->victim = NULL;
    else if (l->victim)
        load_advance(l);
}

/* Writes the stretch of live events [first, first + count), which `lane` holds. */
static void move_stretch(struct log *l, const struct run_record *from, uint64_t first, uint64_t count, struct span lane,
                         uint64_t bytes)
{
    struct group *g = group_open(l);
    struct run_record run = { .queue = from->queue, .first = first, .count = count, .accepted_ms = from->accepted_ms };
    size_t start = g->records.size;
    run_write_raw(&g->records, RECORD_MOVED, &run, lane);
    struct table_entry e = { run.queue, (uint32_t)count, first, (uint32_t)start, (uint32_t)(g->records.size - start) };
    group_add_run(g, &(struct group_run){ .entry = e, .bytes = bytes, .moved = true });
    g->urgent = true;
    l->move_ticket = g->number;
    l->info.moved_events += count;
}

static void move_run(struct log *l, struct log_queue *q, const struct segment *s, struct run_record *run)
{
    struct span event, lane, stretch = { 0 };
    uint64_t first = 0, count = 0, bytes = 0;
    for (uint64_t sequence = run->first; run_next(run, &event, &lane); sequence++) {
        const struct extent *x = extent_at(q, sequence);
        bool live = x && x->segment == s && extent_is_live(q, sequence);
        if (count && !live) {
            move_stretch(l, run, first, count, stretch, bytes);
            count = 0;
        }
        if (!live)
            continue;
        if (count == 0) {
            first = sequence;
            stretch = span_of(lane.data, 0);
            bytes = 0;
        }
        count++;
        bytes += event.size;
        stretch.size += lane.size;
    }
    if (count)
        move_stretch(l, run, first, count, stretch, bytes);
}

void compact_loaded(struct log *l, struct load *d, struct span bytes)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    l->move_ticket = 0;
    for (uint32_t i = 0; q && i < d->run_count; i++) {
        const struct table_entry *e = &d->runs[i];
        struct record r;
        struct run_record run;
        struct span one = span_of(bytes.data + (e->offset - d->base), e->size);
        if (e->offset - d->base + e->size > bytes.size || record_next(&one, &r) != LOG_OK ||
            !run_read(r.payload, &run) || run.queue != d->queue) {
            char name[FILE_NAME_SIZE];
            segment_name(name, d->segment->id);
            log_fail(l, "damaged record in", name, e->offset, "run sluice-broker --check on the data directory");
            return;
        }
        move_run(l, q, d->segment, &run);
    }
    if (l->move_ticket == 0)
        l->moving = false; /* all of it was settled meanwhile */
}

void compact_durable(struct log *l)
{
    if (l->moving && l->move_ticket && l->move_ticket <= l->durable) {
        l->moving = false;
        l->move_ticket = 0;
    }
}
