/* Start-up: applies the records of one group after the other to the log's state, and tells the core. */
#include "broker/store/log_recover.h"

#include "base/mutation.h"

static void apply_run(struct scan *c, struct segment *s, const struct run_record *run, const struct table_entry *place,
                      bool moved, bool shared)
{
    struct log *l = c->log;
    if (moved) {
        extent_move(l, s, place, run->bytes, shared);
        return;
    }
    struct log_queue *q = log_queue_of(l, run->queue, true);
    if (run->first < q->placed_end)
        return; /* replay is idempotent on queue and sequence */
    q->live += run->count;
    q->live_bytes += run->bytes;
    extent_add(l, s, place, run->bytes, shared);
    struct store_run told = { .queue = run->queue,
                              .first = run->first,
                              .count = (size_t)run->count,
                              .accepted_ms = run->accepted_ms,
                              .note = run->note };
    if (c->replay->run)
        c->replay->run(c->replay->context, &told, run->bytes);
}

static bool apply_settled(struct scan *c, struct span payload)
{
    struct settled_record s;
    struct settled_range r;
    enum log_status status;
    if (!settled_read(payload, &s))
        return false;
    struct log_queue *q = log_queue_of(c->log, s.queue, false);
    while ((status = settled_range_next(&s, &r)) == LOG_OK) {
        if (q && r.end > q->placed_end)
            return false;
        uint64_t gone = q ? extent_settle(c->log, q, r.first, r.end, r.bytes) : 0;
        if (gone && c->replay->settled)
            c->replay->settled(c->replay->context, s.queue, r.cause, r.first, gone);
    }
    return status == LOG_END;
}

static bool apply_forgotten(struct scan *c, struct span payload)
{
    uint32_t id;
    if (!forgotten_read(payload, &id))
        return false;
    struct log_queue *q = log_queue_of(c->log, id, false);
    if (q)
        log_queue_drop(c->log, q);
    return true;
}

static bool apply_events(struct scan *c, struct segment *s, const struct record *r, struct table_entry place,
                         bool known)
{
    struct run_record run;
    if (!run_read(r->payload, &run))
        return false;
    place.queue = run.queue;
    place.first = run.first;
    place.count = (uint32_t)run.count;
    segment_add_run(s, &place); /* known or not: the segment's table names every run */
    if (!known)
        apply_run(c, s, &run, &place, r->type == RECORD_MOVED, false);
    return true;
}

/* Applies each queue's part, as if it were a run of its own. */
static bool apply_shared(struct scan *c, struct segment *s, const struct record *r, struct table_entry place,
                         bool known)
{
    struct shared_record shared;
    struct run_target t;
    if (!shared_read(r->payload, &shared))
        return false;
    place.count = (uint32_t)shared.count;
    segment_add_shared(s, &place, shared.target_count, shared.targets);
    struct target_reader targets = targets_open(shared.targets, shared.target_count, 0);
    for (uint32_t i = 0; !known && target_next(&targets, &t); i++) {
        struct run_record run = shared_run(&shared, i, &t);
        place.queue = t.queue;
        place.first = t.first;
        apply_run(c, s, &run, &place, shared.moved, true);
        if (MUTATED(share_with_one))
            break;
    }
    return true;
}

static bool apply_record(struct scan *c, struct segment *s, const struct record *r, uint32_t offset, bool known)
{
    struct table_entry place = { .offset = offset, .size = (uint32_t)r->payload.size + RECORD_HEADER_SIZE };
    switch (r->type) {
    case RECORD_EVENTS:
    case RECORD_MOVED: return apply_events(c, s, r, place, known);
    case RECORD_SHARED: return apply_shared(c, s, r, place, known);
    case RECORD_SETTLED: return known || apply_settled(c, r->payload);
    case RECORD_FORGOTTEN: return known || apply_forgotten(c, r->payload);
    case RECORD_NOTE:
        if (!known && c->replay->note)
            c->replay->note(c->replay->context, r->payload);
        return true;
    case RECORD_TABLE:
        s->sealed = true;
        s->table_at = offset;
        s->table_size = (uint32_t)r->payload.size + RECORD_HEADER_SIZE;
        segment_drop_places(c->log, s);
        return true;
    }
    return false;
}

bool replay_group(struct scan *c, struct segment *s, struct span records, bool known)
{
    const uint8_t *start = c->bytes.data;
    struct record r;
    enum log_status status;
    const uint8_t *at = records.data;
    while ((status = record_next(&records, &r)) == LOG_OK) {
        bool read = r.version == 1 || (r.type == RECORD_TABLE && r.version == TABLE_VERSION);
        if (!read || !apply_record(c, s, &r, (uint32_t)(at - start), known))
            return false;
        at = records.data;
    }
    return status == LOG_END;
}
