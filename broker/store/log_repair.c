/* --repair: a new log from every whole record of a damaged one.
 *
 * With a checkpoint: what was live then is written anew, then the checkpoint (the core's state is copied as it is), then
 * what was logged after it, record by record. Live events whose record is not whole anywhere get an empty one in their place, which
 * is dropped at the end: so the core's books, which count them, stay exact. Without a checkpoint there is only the second
 * part, over all segments. Files that are not the log's are copied.
 *
 * The new log is written by the log's own code, over files that do everything at once. */
#include "broker/store/log_walk.h"

#include "base/xalloc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOST_AT_ONCE  1024u
#define PUMP_BYTES    (128u << 10)
#define LEAST_SEGMENT (1u << 20)
#define MOST_SEGMENT  (1u << 30)

/* A whole record of events in the old log. */
struct found {
    uint32_t queue, size;
    uint64_t first, end, segment, offset;
};

/* What the new log has of a queue. */
struct kept {
    uint32_t id;
    struct ranges have, gone, lost;
    uint64_t next;
    UT_hash_handle hh;
};

struct repair {
    struct files *from, *to;
    struct files at_once; /* over `to` */
    struct file_op *done, **last_done;
    void (*say)(void *context, const char *line);
    void *context;
    struct log *old; /* as of the checkpoint */
    struct position position;
    struct buf state;
    struct log *new;
    struct kept *queues;
    struct found *found;
    size_t found_count, found_capacity;
    uint64_t unpumped, damaged;
    int64_t clock_ms;
};

static void say(struct repair *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct repair *r, const char *format, ...)
{
    char line[512];
    va_list rest;
    va_start(rest, format);
    vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    r->say(r->context, line);
}

/* ------------------------------------------------------------------ files that do everything at once */

static struct repair *repair_of(const struct files *f)
{
    return (struct repair *)(uintptr_t)((const uint8_t *)f - offsetof(struct repair, at_once));
}

static void submit(struct files *f, struct file_op *op)
{
    struct repair *r = repair_of(f);
    op->error = r->to->ops->apply(r->to, op);
    op->next = NULL;
    *r->last_done = op;
    r->last_done = &op->next;
}

static struct file_op *take_done(struct files *f)
{
    struct repair *r = repair_of(f);
    struct file_op *op = r->done;
    if (op)
        r->done = op->next;
    if (!r->done)
        r->last_done = &r->done;
    return op;
}

static uint64_t room(const struct files *f)
{
    const struct repair *r = repair_of(f);
    return r->to->ops->room(r->to);
}

static int list(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context)
{
    struct repair *r = repair_of(f);
    return r->to->ops->list(r->to, visit, context);
}

static int read_at(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    struct repair *r = repair_of(f);
    return r->to->ops->read(r->to, name, offset, to, size, got);
}

static int apply(struct files *f, struct file_op *op)
{
    struct repair *r = repair_of(f);
    return r->to->ops->apply(r->to, op);
}

static const struct files_ops at_once_ops = {
    .submit = submit, .done = take_done, .room = room, .list = list, .read = read_at, .apply = apply
};

/* ------------------------------------------------------------------ the new log */

/* Everything that was put in is on disk; false: it failed. */
static bool pump(struct repair *r)
{
    struct log *l = r->new;
    struct store *s = &l->base;
    struct store_completion ignored;
    do {
        s->ops->flush(s, (mono_t){ ++r->clock_ms * 1000 * MONO_MS });
        while (s->ops->poll(s, &ignored)) {
        }
    } while (!l->failed && !l->no_room && (l->committing || l->open || l->first_closed || l->fresh));
    r->unpumped = 0;
    if (l->failed || l->no_room)
        say(r, "%s",
            l->failed ? l->trouble : "there is no room for the new log; make room, empty the directory, and try again");
    return !l->failed && !l->no_room;
}

static bool pump_sometimes(struct repair *r, uint64_t bytes)
{
    r->unpumped += bytes;
    return r->unpumped < PUMP_BYTES || pump(r);
}

static struct kept *kept_of(struct repair *r, uint32_t id)
{
    struct kept *k = NULL;
    HASH_FIND(hh, r->queues, &id, sizeof id, k);
    if (!k) {
        k = xcalloc(1, sizeof *k);
        k->id = id;
        k->next = 1;
        HASH_ADD(hh, r->queues, id, sizeof k->id, k);
    }
    return k;
}

static void kept_drop(struct repair *r, struct kept *k)
{
    ranges_free(&k->have);
    ranges_free(&k->gone);
    ranges_free(&k->lost);
    HASH_DEL(r->queues, k);
    free(k);
}

static bool append(struct repair *r, struct kept *k, struct store_run *run)
{
    struct store *s = &r->new->base;
    uint64_t ticket, bytes = 0;
    enum store_status status = s->ops->append(s, run, &ticket);
    if (status == STORE_FULL && pump(r))
        status = s->ops->append(s, run, &ticket);
    if (status != STORE_LATER) {
        say(r, "queue %" PRIu32 ": event %" PRIu64 " cannot be written", run->queue, run->first);
        return false;
    }
    for (size_t i = 0; i < run->count; i++)
        bytes += run->events[i].event.size;
    ranges_add(&k->have, run->first, run->first + run->count);
    k->next = run->first + run->count;
    return pump_sometimes(r, bytes);
}

/* The run's events in [first, end). */
static bool append_part(struct repair *r, struct run_record *run, uint64_t first, uint64_t end, struct span note)
{
    struct store_event *events = xcalloc(end - first, sizeof *events);
    struct span event, lane;
    size_t count = 0;
    for (uint64_t s = run->first; run_next(run, &event, &lane); s++) {
        if (s >= first && s < end)
            events[count++].event = event;
    }
    struct store_run part = { .queue = run->queue,
                              .first = first,
                              .events = events,
                              .count = count,
                              .accepted_ms = run->accepted_ms,
                              .note = note };
    bool fine = append(r, kept_of(r, run->queue), &part);
    free(events);
    return fine;
}

/* ------------------------------------------------------------------ what is there */

static void find_run(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct run_record run;
    (void)group;
    if ((rec->type != RECORD_EVENTS && rec->type != RECORD_MOVED) || !run_read(rec->payload, &run))
        return;
    if (r->found_count == r->found_capacity) {
        r->found_capacity = r->found_capacity ? r->found_capacity * 2 : 1024;
        r->found = xrealloc(r->found, r->found_capacity * sizeof *r->found);
    }
    r->found[r->found_count++] = (struct found){ run.queue, (uint32_t)rec->payload.size + RECORD_HEADER_SIZE,
                                                 run.first, run.first + run.count,
                                                 segment,   offset };
}

static void say_damage(void *context, uint64_t segment, uint64_t from, uint64_t to)
{
    struct repair *r = context;
    r->damaged++;
    say(r, "%016" PRIx64 ".log: damaged from offset %" PRIu64 " to %" PRIu64, segment, from, to);
}

static int by_place(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->queue != y->queue)
        return x->queue < y->queue ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Of those that hold `sequence` the one that reaches farthest; NULL with *next: where the next one begins. */
static const struct found *holding(const struct repair *r, uint32_t queue, uint64_t sequence, uint64_t *next)
{
    const struct found *best = NULL;
    size_t low = 0, high = r->found_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct found *f = &r->found[middle];
        if (f->queue < queue || (f->queue == queue && f->first <= sequence))
            low = middle + 1;
        else
            high = middle;
    }
    *next = low < r->found_count && r->found[low].queue == queue ? r->found[low].first : UINT64_MAX;
    /* Copies are few, and no run is longer than a batch: those that can reach the sequence are near. */
    for (size_t i = low; i-- > 0 && r->found[i].queue == queue && low - i < 4096;) {
        if (r->found[i].end > sequence && (!best || r->found[i].end > best->end))
            best = &r->found[i];
    }
    return best;
}

/* ------------------------------------------------------------------ as of the checkpoint */

static bool copy_found(struct repair *r, const struct found *f, uint64_t first, uint64_t end)
{
    char name[FILE_NAME_SIZE];
    struct buf b = { 0 };
    struct record rec;
    struct run_record run;
    size_t got = 0;
    segment_name(name, f->segment);
    int why = r->from->ops->read(r->from, name, f->offset, buf_reserve(&b, f->size), f->size, &got);
    struct span one = span_of(b.data, got);
    bool fine = why == 0 && record_next(&one, &rec) == LOG_OK && run_read(rec.payload, &run);
    fine = fine ? append_part(r, &run, first, end, (struct span){ 0 })
                : (say(r, "%s changed while it was read", name), false);
    buf_free(&b);
    return fine;
}

static bool put_lost(struct repair *r, struct kept *k, uint64_t first, uint64_t end)
{
    struct store_event *none = xcalloc(LOST_AT_ONCE, sizeof *none);
    bool fine = true;
    ranges_add(&k->lost, first, end);
    while (fine && first < end) {
        uint64_t count = end - first < LOST_AT_ONCE ? end - first : LOST_AT_ONCE;
        struct store_run run = { .queue = k->id, .first = first, .events = none, .count = (size_t)count };
        fine = append(r, k, &run);
        first += count;
    }
    free(none);
    return fine;
}

static bool copy_stretch(struct repair *r, uint32_t queue, uint64_t first, uint64_t end)
{
    bool fine = true;
    while (fine && first < end) {
        uint64_t next;
        const struct found *f = holding(r, queue, first, &next);
        uint64_t to = f ? f->end : next;
        to = to < end ? to : end;
        fine = f ? copy_found(r, f, first, to) : put_lost(r, kept_of(r, queue), first, to);
        first = to;
    }
    return fine;
}

static bool copy_queue(struct repair *r, const struct log_queue *q)
{
    bool fine = true;
    for (uint32_t i = 0; fine && i < q->extent_count; i++) {
        uint64_t at = q->extents[i].first, end = q->extents[i].end, gap, gap_end;
        while (fine && (at = ranges_next_gap(&q->settled, at)) < end) {
            uint64_t to = ranges_next(&q->settled, at, &gap, &gap_end) && gap < end ? gap : end;
            fine = copy_stretch(r, q->id, at, to);
            at = to;
        }
    }
    struct kept *k = kept_of(r, q->id);
    k->next = q->placed_end > k->next ? q->placed_end : k->next;
    return fine;
}

static void put_state(void *context, struct buf *out)
{
    struct repair *r = context;
    buf_add(out, r->state.data, r->state.size);
}

static bool copy_checkpoint(struct repair *r)
{
    bool fine = true;
    for (const struct log_queue *q = r->old->queues; fine && q; q = q->hh.next)
        fine = copy_queue(r, q);
    if (!fine || !pump(r))
        return false;
    log_set_owner(&r->new->base, &(struct log_owner){ r, put_state });
    checkpoint_start(r->new);
    fine = pump(r);
    r->new->checkpointing = true; /* never again: the state is the old checkpoint's */
    return fine;
}

/* ------------------------------------------------------------------ after the checkpoint */

static bool replay_run(struct repair *r, const struct record *rec)
{
    struct run_record run;
    if (!run_read(rec->payload, &run))
        return true;
    struct kept *k = kept_of(r, run.queue);
    uint64_t first = run.first > k->next ? run.first : k->next, end = run.first + run.count;
    if (first >= end)
        return true; /* it is there */
    if (run.first > k->next && r->damaged)
        say(r, "queue %" PRIu32 ": sequences %" PRIu64 " to %" PRIu64 " are in no whole record", run.queue, k->next,
            run.first - 1);
    return append_part(r, &run, first, end, rec->type == RECORD_EVENTS ? run.note : (struct span){ 0 });
}

static void settle_one(struct repair *r, struct kept *k, uint64_t sequence, uint64_t bytes, enum store_cause cause)
{
    struct store *s = &r->new->base;
    if (ranges_add(&k->gone, sequence, sequence + 1))
        s->ops->settle(s, k->id, sequence, 0, (uint32_t)bytes, cause);
}

static bool replay_settled(struct repair *r, const struct record *rec)
{
    struct settled_record s;
    struct settled_range range;
    if (!settled_read(rec->payload, &s))
        return true;
    struct kept *k = kept_of(r, s.queue);
    while (settled_range_next(&s, &range) == LOG_OK) {
        uint64_t at = range.first, first, end, share = range.bytes / (range.end - range.first);
        while (ranges_next(&k->have, at, &first, &end) && first < range.end) {
            at = end < range.end ? end : range.end;
            for (; first < at; first++)
                settle_one(r, k, first, share, range.cause);
        }
    }
    r->new->base.ops->settled_ticket(&r->new->base); /* keeps its place among the records */
    return pump_sometimes(r, rec->payload.size);
}

static void replay_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct store *s = &r->new->base;
    uint64_t ticket;
    uint32_t id;
    (void)offset;
    if (r->new->failed || r->new->no_room || (segment == r->position.segment && group < r->position.offset))
        return;
    switch (rec->type) {
    case RECORD_EVENTS: replay_run(r, rec); break;
    case RECORD_MOVED:
        if (r->position.segment == 0)
            replay_run(r, rec);
        break;
    case RECORD_SETTLED: replay_settled(r, rec); break;
    case RECORD_NOTE:
        s->ops->note(s, rec->payload, &ticket);
        pump_sometimes(r, rec->payload.size);
        break;
    case RECORD_FORGOTTEN:
        if (forgotten_read(rec->payload, &id)) {
            s->ops->forget(s, id);
            kept_drop(r, kept_of(r, id));
        }
        break;
    case RECORD_TABLE: break;
    }
}

/* ------------------------------------------------------------------ what was lost */

static void report_lost(struct repair *r)
{
    struct kept *k, *next;
    HASH_ITER (hh, r->queues, k, next) {
        for (size_t i = 0; i < k->lost.count; i++) {
            const struct range *lost = ranges_at(&k->lost, i);
            uint64_t count = 0;
            for (uint64_t s = lost->first; s < lost->end; s++) {
                count += !ranges_has(&k->gone, s);
                settle_one(r, k, s, 0, CAUSE_DROPPED);
            }
            if (count)
                say(r, "queue %" PRIu32 ": %" PRIu64 " events are lost, sequences %" PRIu64 " to %" PRIu64, k->id,
                    count, lost->first, lost->end - 1);
        }
        const struct log_queue *q = log_queue_of(r->new, k->id, false);
        if (q && q->live)
            say(r, "queue %" PRIu32 ": %" PRIu64 " events are salvaged", k->id, q->live);
    }
}

/* ------------------------------------------------------------------ the whole */

static bool keep_state(void *context, struct span state)
{
    struct repair *r = context;
    buf_add(&r->state, state.data, state.size);
    return true;
}

/* True unless it is damaged: then everything is replayed, as far as it is there. */
static void read_checkpoint(struct repair *r, const struct log_config *config)
{
    struct error e;
    bool found = false;
    const struct log_replay replay = { .context = r, .restore = keep_state };
    r->old = log_new(config, r->from);
    if (checkpoint_read(r->old, &replay, &r->position, &found, &e) && found)
        return;
    if (found)
        say(r, "%s", e.text);
    say(r, "without a checkpoint: what was only in it (queues, producers, settlements) is lost");
    log_free(r->old);
    r->old = log_new(config, r->from);
    r->position = (struct position){ 0 };
    buf_clear(&r->state);
}

static bool walk_all(struct repair *r, uint64_t from, const struct walk *w)
{
    struct walked out;
    size_t count = 0;
    int why;
    uint64_t *ids = walk_list(r->from, &count, &why);
    for (size_t i = 0; i < count && why == 0; i++)
        why = ids[i] < from ? 0 : walk_segment(r->from, ids[i], w, &out);
    free(ids);
    if (why)
        say(r, "cannot read the log: %s", strerror(why));
    return why == 0;
}

struct copying {
    struct repair *repair;
    bool fine;
};

static void copy_file(void *context, const char *name, uint64_t size)
{
    struct copying *c = context;
    struct repair *r = c->repair;
    uint64_t id;
    (void)size;
    if (!c->fine || segment_id_of(name, &id) || strcmp(name, "checkpoint") == 0 || strcmp(name, "lock") == 0)
        return;
    struct file_op op = { .kind = FILE_REPLACE };
    snprintf(op.name, sizeof op.name, "%s", name);
    int why = walk_read(r->from, name, &op.data);
    why = why ? why : r->to->ops->apply(r->to, &op);
    buf_free(&op.data);
    c->fine = why == 0;
    if (why)
        say(r, "cannot copy %s: %s", name, strerror(why));
}

static void is_foreign(void *context, const char *name, uint64_t size)
{
    (void)size;
    *(bool *)context |= strcmp(name, "lock") != 0;
}

static bool is_empty(struct repair *r)
{
    bool foreign = false;
    int why = r->to->ops->list(r->to, is_foreign, &foreign);
    if (why || foreign)
        say(r, "the directory to repair to %s", why ? "cannot be read" : "is not empty");
    return why == 0 && !foreign;
}

static bool open_new(struct repair *r, const struct log_config *config)
{
    struct error e;
    const struct log_replay nobody = { 0 };
    r->at_once.ops = &at_once_ops;
    r->last_done = &r->done;
    struct store *s = log_open(config, &r->at_once, &nobody, &e);
    if (!s) {
        say(r, "%s", e.text);
        return false;
    }
    r->new = log_self(s);
    r->new->stopping = true;      /* nothing is moved */
    r->new->checkpointing = true; /* nor checkpointed before its time */
    return true;
}

static bool salvage(struct repair *r)
{
    const struct walk all = { r, find_run, say_damage };
    const struct walk after = { r, replay_record, NULL };
    struct copying c = { r, true };
    if (!walk_all(r, 0, &all))
        return false;
    if (r->found_count)
        qsort(r->found, r->found_count, sizeof *r->found, by_place);
    if (r->position.segment && !copy_checkpoint(r))
        return false;
    if (!walk_all(r, r->position.segment, &after) || !pump(r))
        return false;
    report_lost(r);
    return pump(r) && r->from->ops->list(r->from, copy_file, &c) == 0 && c.fine;
}

static void largest_segment(void *context, const char *name, uint64_t size)
{
    uint64_t id, *most = context;
    if (segment_id_of(name, &id) && size > *most && size <= MOST_SEGMENT)
        *most = size;
}

bool log_repair(struct files *from, struct files *to, void (*tell)(void *context, const char *line), void *context)
{
    struct repair r = { .from = from, .to = to, .say = tell, .context = context };
    struct log_config config;
    log_config_defaults(&config);
    config.lazy_ms = 0;
    config.segment_size = LEAST_SEGMENT;
    from->ops->list(from, largest_segment, &config.segment_size);
    bool fine = is_empty(&r);
    if (fine) {
        read_checkpoint(&r, &config);
        fine = open_new(&r, &config) && salvage(&r);
    }
    while (r.queues)
        kept_drop(&r, r.queues);
    free(r.found);
    buf_free(&r.state);
    if (r.new)
        log_free(r.new);
    if (r.old)
        log_free(r.old);
    return fine;
}
