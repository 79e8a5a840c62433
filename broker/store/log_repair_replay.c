/* --repair: what was logged after the checkpoint, record by record; without a checkpoint, everything. */
#include "broker/store/log_repair.h"

#include <inttypes.h>

static bool replay_run(struct repair *r, const struct record *rec)
{
    struct run_record run;
    if (!run_read(rec->payload, &run))
        return true;
    struct kept *k = repair_kept_of(r, run.queue);
    uint64_t first = run.first > k->next ? run.first : k->next, end = run.first + run.count;
    if (first >= end)
        return true; /* it is there */
    if (run.first > k->next && r->damaged)
        repair_say(r, "queue %" PRIu32 ": sequences %" PRIu64 " to %" PRIu64 " are in no whole record", run.queue,
                   k->next, run.first - 1);
    return repair_append_part(r, &run, first, end, rec->type == RECORD_EVENTS ? run.note : (struct span){ 0 });
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
    case RECORD_EVENTS: replay_run(r, rec); break;
    case RECORD_MOVED:
        if (r->position.segment == 0)
            replay_run(r, rec);
        break;
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
