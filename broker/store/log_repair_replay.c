/* --repair: what was logged after the checkpoint, record by record; without a checkpoint, everything. */
#include "broker/store/log_repair.h"

#include "base/xalloc.h"

#include <inttypes.h>
#include <stdlib.h>

static void report_gap(struct repair *r, const struct repair_queue *k, uint64_t first)
{
    if (first > k->next && r->damaged)
        repair_report(r, "queue %" PRIu32 ": sequences %" PRIu64 " to %" PRIu64 " are in no whole record", k->id,
                      k->next, first - 1);
}

/* Appends those of the run's events that are before `end` and not in the new log yet. */
static void put_run(struct repair *r, struct repair_queue *k, const struct run_record *run, uint64_t end)
{
    uint64_t first = run->first > k->next ? run->first : k->next;
    if (r->stopped || first >= end)
        return;
    report_gap(r, k, run->first);
    repair_append_part(r, run, first, end, run->note);
}

/* ------------------------------------------------------------------ moved runs
 *
 * Without a checkpoint they are met behind later events of their queue, but a queue's events must be written in
 * order. So a first walk collects where the moved runs are. When a run is replayed, the moved events that belong
 * before it are read from there first. */

void repair_note_moved(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct shared_record s;
    struct run_target t;
    uint8_t own[OWN_TARGET_MAX];
    (void)group;
    if (!record_shared(rec, &s, own))
        return;
    struct target_reader targets = targets_open(s.targets, s.target_count, 0);
    while (target_next(&targets, &t)) {
        struct repair_queue *k = repair_queue_of(r, t.queue);
        if (s.moved && t.first < k->seen) {
            if (k->moved_count == k->moved_capacity) {
                k->moved_capacity = k->moved_capacity ? k->moved_capacity * 2 : 8;
                k->moved = xrealloc(k->moved, k->moved_capacity * sizeof *k->moved);
            }
            k->moved[k->moved_count++] = (struct moved_run){ t.first, segment, (uint32_t)s.count, (uint32_t)offset,
                                                             (uint32_t)(RECORD_HEADER_SIZE + rec->payload.size) };
        }
        k->seen = t.first + s.count > k->seen ? t.first + s.count : k->seen;
    }
}

static void take_moved(struct repair *r, struct repair_queue *k, const struct moved_run *m, uint64_t end)
{
    char name[FILE_NAME_SIZE];
    size_t got = 0;
    struct record rec;
    struct run_record run;
    segment_name(name, m->segment);
    buf_clear(&r->moved);
    int why = r->from->ops->read(r->from, name, m->offset, buf_reserve(&r->moved, m->size), m->size, &got);
    struct span bytes = span_of(r->moved.data, got);
    if (why == 0 && record_next(&bytes, &rec) == LOG_OK && record_run_of(&rec, k->id, &run)) {
        put_run(r, k, &run, end);
        return;
    }
    repair_report(r, "cannot read the log: %s", why ? strerror(why) : "it changed while it was read");
    r->stopped = true;
}

static int by_sequence(const void *a, const void *b)
{
    const struct moved_run *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Appends the moved events before the sequence `before`. A moved run that reaches beyond it stays in the list, for
 * its rest. */
static void take_moved_before(struct repair *r, struct repair_queue *k, uint64_t before)
{
    if (!k->sorted && k->moved_count)
        qsort(k->moved, k->moved_count, sizeof *k->moved, by_sequence);
    k->sorted = true;
    while (!r->stopped && k->next < before && k->moved_at < k->moved_count) {
        const struct moved_run *m = &k->moved[k->moved_at];
        uint64_t end = m->first + m->count;
        if (m->first < before && k->next < end)
            take_moved(r, k, m, end < before ? end : before);
        if (end > before)
            return;
        k->moved_at++;
    }
}

/* ------------------------------------------------------------------ the records */

static bool is_new_to_all(struct repair *r, const struct shared_record *s)
{
    struct target_reader targets = targets_open(s->targets, s->target_count, 0);
    struct run_target t;
    bool new = true;
    while (target_next(&targets, &t))
        new &= t.first >= repair_queue_of(r, t.queue)->next;
    return new;
}

/* Writes it as a shared run again, unless some queue has a part of it already or it was moved. */
static void replay_shared(struct repair *r, const struct shared_record *s)
{
    struct target_reader targets = targets_open(s->targets, s->target_count, 0);
    struct run_target t;
    bool whole = !s->moved && is_new_to_all(r, s);
    for (uint32_t i = 0; target_next(&targets, &t); i++) {
        struct run_record run = shared_run(s, i, &t);
        struct repair_queue *k = repair_queue_of(r, t.queue);
        take_moved_before(r, k, t.first);
        if (whole)
            report_gap(r, k, t.first);
        else
            put_run(r, k, &run, t.first + s->count);
    }
    if (whole && !r->stopped)
        repair_share(r, s);
}

/* With a checkpoint, moved runs are skipped: log_repair_copy.c copied their events, or the record that accepted them
 * is after the checkpoint, too. */
static void replay_events(struct repair *r, const struct record *rec)
{
    struct shared_record s;
    uint8_t own[OWN_TARGET_MAX];
    if (record_shared(rec, &s, own) && (!s.moved || r->position.segment == 0))
        replay_shared(r, &s);
}

static bool replay_settled(struct repair *r, const struct record *rec)
{
    struct settled_record s;
    struct settled_range range;
    if (!settled_read(rec->payload, &s))
        return true;
    struct repair_queue *k = repair_queue_of(r, s.queue);
    while (settled_range_next(&s, &range) == LOG_OK) {
        uint64_t at = range.first, first, end, share = range.bytes / (range.end - range.first);
        while (ranges_next(&k->have, at, &first, &end) && first < range.end) {
            at = end < range.end ? end : range.end;
            for (; first < at; first++)
                repair_settle_one(r, k, first, share, range.cause);
        }
    }
    r->new->base.ops->settled_ticket(&r->new->base); /* so that the settlements keep their place among the records */
    return repair_pump_sometimes(r, rec->payload.size);
}

void repair_replay_record(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *rec)
{
    struct repair *r = context;
    struct store *s = &r->new->base;
    uint64_t ticket;
    uint32_t id;
    (void)offset;
    if (r->stopped || (segment == r->position.segment && group < r->position.offset))
        return;
    switch (rec->type) {
    case RECORD_EVENTS:
    case RECORD_MOVED:
    case RECORD_SHARED: replay_events(r, rec); break;
    case RECORD_SETTLED: replay_settled(r, rec); break;
    case RECORD_NOTE:
        s->ops->note(s, rec->payload, &ticket);
        repair_pump_sometimes(r, rec->payload.size);
        break;
    case RECORD_FORGOTTEN:
        if (forgotten_read(rec->payload, &id)) {
            s->ops->forget(s, id);
            repair_queue_drop(r, repair_queue_of(r, id));
        }
        break;
    case RECORD_TABLE: break;
    }
}
