/* --repair: what was logged after the checkpoint, record by record; without a checkpoint, everything. */
#include "broker/store/log_repair.h"

#include <inttypes.h>

static void say_gap(struct repair *r, const struct kept *k, uint64_t first)
{
    if (first > k->next && r->damaged)
        repair_say(r, "queue %" PRIu32 ": sequences %" PRIu64 " to %" PRIu64 " are in no whole record", k->id, k->next,
                   first - 1);
}

static bool replay_run(struct repair *r, const struct run_record *run, struct span note)
{
    struct kept *k = repair_kept_of(r, run->queue);
    uint64_t first = run->first > k->next ? run->first : k->next, end = run->first + run->count;
    if (first >= end)
        return true; /* it is there */
    say_gap(r, k, run->first);
    return repair_append_part(r, run, first, end, note);
}

static bool is_new_to_all(struct repair *r, const struct shared_record *s)
{
    struct target_reader targets = targets_open(s->targets, s->target_count, 0);
    struct run_target t;
    bool new = true;
    while (target_next(&targets, &t))
        new &= t.first >= repair_kept_of(r, t.queue)->next;
    return new;
}

/* Shared again, unless some queue has a part of it. */
static void replay_shared(struct repair *r, const struct shared_record *s)
{
    struct target_reader targets = targets_open(s->targets, s->target_count, 0);
    struct run_target t;
    bool whole = !s->moved && is_new_to_all(r, s);
    for (uint32_t i = 0; target_next(&targets, &t); i++) {
        struct run_record run = shared_run(s, i, &t);
        if (whole)
            say_gap(r, repair_kept_of(r, t.queue), t.first);
        else
            replay_run(r, &run, run.note);
    }
    if (whole)
        repair_share(r, s);
}

/* What was moved the checkpoint has, where there is one. */
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
    struct kept *k = repair_kept_of(r, s.queue);
    while (settled_range_next(&s, &range) == LOG_OK) {
        uint64_t at = range.first, first, end, share = range.bytes / (range.end - range.first);
        while (ranges_next(&k->have, at, &first, &end) && first < range.end) {
            at = end < range.end ? end : range.end;
            for (; first < at; first++)
                repair_settle_one(r, k, first, share, range.cause);
        }
    }
    r->new->base.ops->settled_ticket(&r->new->base); /* keeps its place among the records */
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
            repair_kept_drop(r, repair_kept_of(r, id));
        }
        break;
    case RECORD_TABLE: break;
    }
}
