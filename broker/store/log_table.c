/* TABLE records: a table seals a segment and says where each queue's runs are, settled or not. Version 1 lists runs
 * of single queues. Version 2, used if there are shared runs, lists these behind them, by offset. Consecutive shared
 * runs mostly go to the same queues and continue each other there: such a run costs a few bytes, however many queues
 * it has. */
#include "broker/store/log_format.h"

#include <stdlib.h>

#define COUNT_MAX    (UINT64_C(1) << 53)
#define ENTRY_BOUND  40u /* the most bytes of one entry: varints of 5, 8, 5, 5, 5, and a margin */
#define SHARED_BOUND 24u /* varints of 5, 5, 5, 5, and a margin; without the targets */

static void add_varint(struct buf *b, uint64_t value)
{
    uint8_t *at = buf_reserve(b, 10);
    b->size += (size_t)(wire_put_varint(at, value) - at);
}

/* ------------------------------------------------------------------ writing */

static int by_queue(const void *a, const void *b)
{
    const struct table_entry *x = a, *y = b;
    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Runs with the same offset are the same run; it is written once. */
static size_t without_repeats(struct table_entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || entries[kept - 1].offset != entries[i].offset)
            entries[kept++] = entries[i];
    }
    return kept;
}

static void put_entries(struct buf *b, const struct table_entry *entries, size_t count)
{
    uint64_t queue = 0, end = 0;
    add_varint(b, count);
    for (size_t i = 0; i < count; i++) {
        const struct table_entry *e = &entries[i];
        if (i == 0 || e->queue != queue)
            end = 0;
        add_varint(b, e->queue - queue);
        add_varint(b, e->first - end);
        add_varint(b, e->count);
        add_varint(b, e->offset);
        add_varint(b, e->size);
        queue = e->queue;
        end = e->first + e->count;
    }
}

/* A run that continues the one before it shares its targets' bytes (log_shared_runs.c). */
static bool goes_on(const struct table_item *before, const struct table_item *s)
{
    return before && before->targets.data == s->targets.data && before->past + before->e.count == s->past;
}

static void put_shared(struct buf *b, const struct table_item *shared, size_t count)
{
    uint64_t offset = 0;
    add_varint(b, count);
    for (size_t i = 0; i < count; i++) {
        const struct table_item *s = &shared[i];
        bool same = goes_on(i ? s - 1 : NULL, s);
        add_varint(b, s->e.offset - offset);
        add_varint(b, s->e.size);
        add_varint(b, s->e.count);
        add_varint(b, same ? 0 : s->target_count);
        if (!same)
            buf_add(b, s->targets.data, s->targets.size);
        offset = s->e.offset;
    }
}

void table_write(struct buf *b, struct table_entry *entries, size_t count, const struct table_item *shared,
                 size_t shared_count)
{
    if (count)
        qsort(entries, count, sizeof *entries, by_queue);
    count = without_repeats(entries, count);
    size_t mark = record_begin(b, RECORD_TABLE);
    put_entries(b, entries, count);
    if (shared_count) {
        b->data[mark - RECORD_HEADER_SIZE + 5] = TABLE_VERSION;
        put_shared(b, shared, shared_count);
    }
    record_end(b, mark);
}

size_t table_growth(size_t count, size_t shared_count, size_t targets)
{
    return count * ENTRY_BOUND + shared_count * SHARED_BOUND + targets;
}

size_t table_bound(size_t count, size_t shared_count, size_t targets)
{
    return RECORD_HEADER_SIZE + 20 + table_growth(count, shared_count, targets);
}

/* ------------------------------------------------------------------ reading */

bool table_open(const struct record *r, struct table_reader *out)
{
    *out = (struct table_reader){ .r = wire_open(r->payload), .lists_shared = r->version == TABLE_VERSION };
    return r->type == RECORD_TABLE && (r->version == 1 || r->version == TABLE_VERSION) &&
           wire_varint(&out->r, &out->left);
}

static enum log_status next_entry(struct table_reader *t, struct table_item *out)
{
    uint64_t step, gap, events, offset, size;
    if (!wire_varint(&t->r, &step) || !wire_varint(&t->r, &gap) || !wire_varint(&t->r, &events) ||
        !wire_varint(&t->r, &offset) || !wire_varint(&t->r, &size) || step > UINT32_MAX - t->queue || gap > COUNT_MAX ||
        events == 0 || events > UINT32_MAX || offset > UINT32_MAX || size > UINT32_MAX)
        return LOG_BAD;
    if (step)
        t->end = 0;
    t->queue += step;
    if (t->end + gap + events > COUNT_MAX)
        return LOG_BAD;
    *out = (struct table_item){ .e = { (uint32_t)t->queue, (uint32_t)events, t->end + gap, (uint32_t)offset,
                                       (uint32_t)size } };
    t->end = out->e.first + events;
    t->left--;
    return LOG_OK;
}

/* Checks the targets here, so that their readers need not. */
static bool take_targets(struct table_reader *t, uint64_t count)
{
    struct span rest = span_of(t->r.at, (size_t)(t->r.end - t->r.at));
    struct target_reader targets = targets_open(rest, (uint32_t)count, 0);
    struct run_target one;
    while (target_next(&targets, &one)) {
    }
    if (count > UINT32_MAX || targets.left)
        return false;
    t->last.targets = span_of(t->r.at, (size_t)(targets.r.at - t->r.at));
    t->last.target_count = (uint32_t)count;
    t->last.past = 0;
    t->r.at = targets.r.at;
    return true;
}

static enum log_status next_shared(struct table_reader *t, struct table_item *out)
{
    uint64_t step, size, events, count;
    struct table_item *last = &t->last;
    if (!wire_varint(&t->r, &step) || !wire_varint(&t->r, &size) || !wire_varint(&t->r, &events) ||
        !wire_varint(&t->r, &count) || step > UINT32_MAX - last->e.offset || size > UINT32_MAX || events == 0 ||
        events > UINT32_MAX)
        return LOG_BAD;
    uint64_t past = last->past + last->e.count;
    last->e.offset += (uint32_t)step;
    last->e.size = (uint32_t)size;
    last->e.count = (uint32_t)events;
    if (count == 0)
        last->past = past;
    if ((count == 0 && last->target_count == 0) || (count && !take_targets(t, count)) || past > COUNT_MAX)
        return LOG_BAD;
    *out = *last;
    t->shared_left--;
    return LOG_OK;
}

enum log_status table_next(struct table_reader *t, struct table_item *out)
{
    if (t->left)
        return next_entry(t, out);
    if (t->lists_shared && !t->begun_shared) {
        t->begun_shared = true;
        if (!wire_varint(&t->r, &t->shared_left))
            return LOG_BAD;
    }
    if (t->shared_left)
        return next_shared(t, out);
    return wire_done(&t->r) ? LOG_END : LOG_BAD;
}

static uint64_t first_in(const struct table_item *item, uint32_t queue)
{
    struct target_reader targets = targets_open(item->targets, item->target_count, 0);
    struct run_target one;
    while (target_next(&targets, &one) && one.queue <= queue) {
        if (one.queue == queue)
            return one.first;
    }
    return 0;
}

bool table_entry_of(struct table_cursor *in, const struct table_item *item, uint32_t queue, struct table_entry *out)
{
    *out = item->e;
    if (item->target_count == 0)
        return item->e.queue == queue;
    if (in->targets != item->targets.data)
        *in = (struct table_cursor){ item->targets.data, first_in(item, queue) };
    out->queue = queue;
    out->first = in->first + item->past;
    return in->first != 0;
}
