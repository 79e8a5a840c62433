/* Reading backlog. A load finds the places of the runs that hold the queue's next live events (they are known, or are
 * read from the sealed segment's table first), then reads as many neighbouring runs as were asked for in one read.
 * Loads are worked off one after the other, each with a few reads; meanwhile the core still delivers what the load
 * before brought. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"
#include "proto/frame.h"

#include <assert.h>
#include <stdlib.h>

#define EVENTS_AT_ONCE 16384u
/* Runs farther apart than this are not read together: other queues' events are between them. */
#define GAP_MAX (64u << 10)

static void add_load(struct log *l, struct load *d)
{
    d->next = NULL;
    if (l->last_load)
        l->last_load->next = d;
    else
        l->loads = d;
    l->last_load = d;
}

void load_start(struct log *l, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag)
{
    struct load *d = xcalloc(1, sizeof *d);
    d->queue = queue;
    d->from = from;
    d->bytes = bytes < LOAD_BYTES_MAX ? bytes : LOAD_BYTES_MAX;
    d->tag = tag;
    add_load(l, d);
}

void load_again(struct log *l, struct load *d)
{
    d->state = LOAD_WAITS;
    d->segment = NULL;
    d->table_read = 0;
    add_load(l, d);
}

void load_free(struct load *d)
{
    free(d->runs);
    free(d->events);
    free(d);
}

static struct load *take_first(struct log *l)
{
    struct load *d = l->loads;
    l->loads = d->next;
    if (!l->loads)
        l->last_load = NULL;
    d->next = NULL;
    return d;
}

static void finish(struct log *l)
{
    struct load *d = take_first(l), **at = &l->ready_loads;
    d->state = LOAD_READY;
    while (*at)
        at = &(*at)->next;
    *at = d;
}

static void read_file(struct log *l, struct segment *s, uint64_t offset, uint64_t size)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, s->id);
    log_submit(l, FILE_READ, name, offset, size, NULL, TAG_LOAD);
}

/* ------------------------------------------------------------------ choosing runs */

static void want_run(struct load *d, const struct table_entry *e)
{
    d->runs = xrealloc(d->runs, (d->run_count + 1) * sizeof *d->runs);
    d->runs[d->run_count++] = *e;
}

/* Index of the extent's first run that ends behind `sequence`. */
static uint32_t run_index(const struct extent *x, uint64_t sequence)
{
    uint32_t low = 0, high = x->run_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (x->runs[middle].first + x->runs[middle].count <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void choose_runs(struct load *d, const struct extent *x, uint64_t from)
{
    uint64_t bytes = 0, events = 0, end = 0;
    for (uint32_t i = run_index(x, from); i < x->run_count; i++) {
        const struct table_entry *e = &x->runs[i];
        bool first = d->run_count == 0;
        if ((uint64_t)e->offset + e->size > x->segment->written || (first && e->first > from))
            return;
        if (!first && (bytes + e->size > d->bytes || events + e->count > EVENTS_AT_ONCE || e->offset < end ||
                       e->offset - end > GAP_MAX))
            return;
        want_run(d, e);
        bytes += e->size;
        events += e->count;
        end = (uint64_t)e->offset + e->size;
    }
}

static uint64_t first_live(struct log_queue *q, uint64_t from, struct extent **x)
{
    for (;;) {
        *x = extent_at(q, from);
        if (!*x)
            return 0;
        if ((*x)->first > from)
            from = (*x)->first;
        uint64_t gap = ranges_next_gap(&q->settled, from);
        if (gap == from)
            return from;
        from = gap;
    }
}

/* A read may overtake the write before it, so what is not written yet must not be read. */
static bool is_on_its_way(const struct extent *x)
{
    const struct segment *s = x->segment;
    return s->written < s->size && (!s->sealed || s->written < (uint64_t)s->table_at + s->table_size);
}

static void fail_without_events(struct log *l, const struct segment *s)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, s->id);
    log_fail(l, "the table lacks events in", name, s->table_at, "run sluice-broker --check on the data directory");
}

/* Begins the first load's next step, or finishes the load when nothing is live from there on. False: what it wants is
 * not written yet, or the log failed. */
static bool begin(struct log *l, struct load *d)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    struct extent *x = NULL;
    uint64_t from = q ? first_live(q, d->from, &x) : 0;
    if (!x) {
        finish(l);
        return true;
    }
    d->segment = x->segment;
    d->run_count = 0;
    extent_find_runs(q, x);
    if (x->runs)
        choose_runs(d, x, from);
    if (d->run_count == 0 && is_on_its_way(x))
        return false;
    if (d->run_count == 0 && (d->table_read == x->segment->id || !x->segment->sealed)) {
        fail_without_events(l, x->segment);
        return false;
    }
    if (d->run_count == 0) {
        d->state = LOAD_TABLE;
        d->table_read = x->segment->id;
        read_file(l, x->segment, x->segment->table_at, x->segment->table_size);
        return true;
    }
    const struct table_entry *last = &d->runs[d->run_count - 1];
    d->base = d->runs[0].offset;
    d->state = LOAD_RUNS;
    read_file(l, x->segment, d->base, last->offset + last->size - d->base);
    return true;
}

void load_advance(struct log *l)
{
    while (!l->failed && l->loads && l->loads->state == LOAD_WAITS && begin(l, l->loads)) {
    }
}

/* ------------------------------------------------------------------ tables */

/* Adds the entry to those of the queue's extents in this segment that it overlaps. */
static void take_entry(struct log_queue *q, const struct segment *s, const struct table_entry *e)
{
    if ((uint64_t)e->offset + e->size > s->size)
        return;
    for (struct extent *x = extent_at(q, e->first); x && x < q->extents + q->extent_count; x++) {
        if (x->first >= e->first + e->count)
            return;
        if (x->segment == s)
            extent_add_run(x, e);
    }
}

static int by_sequence(const void *a, const void *b)
{
    const struct table_entry *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* A table lists shared runs apart from the others, so a queue's runs are not in order. */
static void sort_runs(struct log_queue *q, const struct segment *s)
{
    for (uint32_t i = 0; i < q->extent_count; i++) {
        struct extent *x = &q->extents[i];
        if (x->segment == s && x->run_count > 1)
            qsort(x->runs, x->run_count, sizeof *x->runs, by_sequence);
    }
}

static bool take_table(struct log *l, struct load *d, struct span bytes)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    struct record r;
    struct table_reader table;
    struct table_item item;
    struct table_entry e;
    struct table_cursor cursor = { 0 };
    enum log_status status;
    if (bytes.size != d->segment->table_size || record_next(&bytes, &r) != LOG_OK || !table_open(&r, &table))
        return false;
    if (!q)
        return true; /* forgotten in the meantime */
    segment_forget_runs(q, d->segment);
    while ((status = table_next(&table, &item)) == LOG_OK) {
        if (table_entry_of(&cursor, &item, q->id, &e))
            take_entry(q, d->segment, &e);
    }
    sort_runs(q, d->segment);
    return status == LOG_END;
}

/* ------------------------------------------------------------------ runs */

static void add_loaded(struct log *l, struct load *d, struct log_queue *q, const struct run_record *run,
                       uint64_t sequence, struct span event)
{
    struct store_event one = { .event = event };
    struct store_run alone = { .queue = d->queue, .first = sequence, .events = &one, .count = 1 };
    uint64_t ticket;
    l->cache->ops->append(l->cache, &alone, &ticket);
    q->cached_bytes += event.size;
    d->events[d->count++] = (struct store_loaded){
        .sequence = sequence,
        .locator = one.locator,
        .size = (uint32_t)event.size,
        .accepted_ms = run->accepted_ms,
    };
}

/* Takes the live events of one run. Events that were moved elsewhere since the read began are taken, too: the bytes
 * are the same, and events behind them must not be delivered before them. */
static bool take_run(struct log *l, struct load *d, struct log_queue *q, const struct table_entry *e, struct span bytes)
{
    struct record r;
    struct run_record run;
    struct span event, lane;
    if (record_next(&bytes, &r) != LOG_OK || !record_run_of(&r, d->queue, &run) || run.first != e->first ||
        run.count != e->count)
        return false;
    d->events = xrealloc(d->events, (d->count + run.count) * sizeof *d->events);
    for (uint64_t sequence = run.first; run_next(&run, &event, &lane); sequence++) {
        if (sequence >= d->from && extent_is_live(q, sequence))
            add_loaded(l, d, q, &run, sequence, event);
    }
    return true;
}

static bool take_runs(struct log *l, struct load *d, struct span bytes)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    for (uint32_t i = 0; q && i < d->run_count; i++) {
        const struct table_entry *e = &d->runs[i];
        if (e->offset - d->base + e->size > bytes.size ||
            !take_run(l, d, q, e, span_of(bytes.data + (e->offset - d->base), e->size)))
            return false;
    }
    return true;
}

/* Forgets the places of a sealed segment's runs, unless the next load will go on there. */
static void drop_places_behind(struct log *l, struct load *d)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    if (q && d->count && d->segment->sealed) {
        const struct extent *x = extent_at(q, d->events[d->count - 1].sequence + 1);
        if (!x || x->segment != d->segment)
            segment_forget_runs(q, d->segment);
    }
}

void load_done(struct log *l, struct file_op *op)
{
    struct load *d = l->loads;
    assert(d && (d->state == LOAD_TABLE || d->state == LOAD_RUNS));
    if (op->error) {
        log_fail(l, "cannot read", op->name, op->offset, strerror(op->error));
        return;
    }
    struct span bytes = buf_span(&op->data);
    bool fine = true;
    if (d->state == LOAD_TABLE) {
        fine = take_table(l, d, bytes);
        d->state = LOAD_WAITS;
    } else {
        fine = take_runs(l, d, bytes);
        drop_places_behind(l, d);
        if (fine && d->count)
            finish(l);
        else
            d->state = LOAD_WAITS; /* everything in these runs was settled in the meantime: look on */
    }
    if (!fine)
        log_fail(l, "damaged record in", op->name, op->offset, "run sluice-broker --check on the data directory");
    else
        load_advance(l);
}
