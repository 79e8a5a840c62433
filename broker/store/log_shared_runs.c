/* Where the shared runs of the active segment are. A topic may have a thousand queues. So while consecutive runs have
 * the same targets and continue each other in every queue, memory holds the targets once: of the first run, and of
 * each later one how many events behind the first it is. An extent looks up its shared runs in the segment's table
 * when it is loaded from. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

static struct target_reader targets_of(const struct segment *s, const struct shared_place *p, uint64_t past)
{
    return targets_open(span_of(s->share_targets.data + p->targets_at, p->targets_size), p->target_count, past);
}

/* Does the next run have the same queues, and continue the one before in each? */
static bool goes_on(const struct segment *s, const struct shared_place *before, struct target_reader next,
                    uint32_t count)
{
    struct target_reader has = targets_of(s, before, before->past + before->count);
    struct run_target a, b;
    if (before->target_count != count)
        return false;
    while (target_next(&has, &a) && target_next(&next, &b)) {
        if (a.queue != b.queue || a.first != b.first)
            return false;
    }
    return has.left == 0;
}

static struct shared_place *new_place(struct segment *s)
{
    if (s->share_count == s->share_capacity) {
        s->share_capacity = s->share_capacity ? s->share_capacity * 2 : 16;
        s->shares = xrealloc(s->shares, s->share_capacity * sizeof *s->shares);
    }
    return &s->shares[s->share_count++];
}

void segment_add_shared(struct segment *s, const struct table_entry *place, uint32_t target_count, struct span targets)
{
    struct table_entry mark = { SHARED_MARK, place->count, s->share_count, place->offset, place->size };
    struct shared_place *p = new_place(s);
    *p = (struct shared_place){ place->offset, place->size, place->count, target_count, 0, 0, 0 };
    if (s->share_count > 1 && goes_on(s, p - 1, targets_open(targets, target_count, 0), target_count)) {
        p->targets_at = p[-1].targets_at;
        p->targets_size = p[-1].targets_size;
        p->past = p[-1].past + p[-1].count;
    } else {
        p->targets_at = (uint32_t)s->share_targets.size;
        p->targets_size = (uint32_t)targets.size;
        buf_add(&s->share_targets, targets.data, targets.size);
    }
    segment_add_run(s, &mark);
    s->all_events += (uint64_t)place->count * (target_count - 1);
}

struct table_item segment_shared(const struct segment *s, uint32_t number)
{
    const struct shared_place *p = &s->shares[number];
    return (struct table_item){
        .e = { .count = p->count, .offset = p->offset, .size = p->size },
        .target_count = p->target_count,
        .past = p->past,
        .targets = span_of(s->share_targets.data + p->targets_at, p->targets_size),
    };
}

void extent_find_runs(struct log_queue *q, struct extent *x)
{
    const struct segment *s = x->segment;
    struct table_cursor cursor = { 0 };
    for (; x->runs_incomplete && x->next_table_run < s->table_count; x->next_table_run++) {
        struct table_item item = { .e = s->table[x->next_table_run] };
        struct table_entry e;
        if (item.e.queue == SHARED_MARK)
            item = segment_shared(s, (uint32_t)item.e.first);
        if (table_entry_of(&cursor, &item, q->id, &e) && e.first < x->end && e.first + e.count > x->first)
            extent_add_run(x, &e);
    }
}
