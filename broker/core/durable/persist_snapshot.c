/* The core's whole state for a checkpoint, in the encoding of the notes (persist_write.c) where these have one. What is
 * as large as a queue or a producer may have grown is a large message (wire.h): a million dead events take 280 MB. */
#include "broker/core/calls/subscriptions.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/persist_put.h"
#include "broker/core/partition/partition.h"
#include "broker/core/queue/schedule.h"

#include "base/mutation.h"

static void put_ledger(struct buf *b, uint32_t tag, const struct ledger *l)
{
    size_t mark = wire_begin(b, tag);
    wire_add_number(b, LEDGER_ACCEPTED, l->accepted);
    wire_add_number(b, LEDGER_ACKED, l->acked);
    wire_add_number(b, LEDGER_DEAD, l->dead_lettered);
    wire_add_number(b, LEDGER_EXPIRED, l->expired);
    wire_add_number(b, LEDGER_PURGED, l->purged);
    wire_add_number(b, LEDGER_DROPPED, l->dropped);
    wire_end(b, mark);
}

/* How far the queue may have been delivered: what the newest mark says, or at an orderly stop the exact end. */
static uint64_t mark_of(const struct core *c, const struct queue *q)
{
    const struct durable *d = q->durable;
    uint64_t end = q->partitions ? q->partitions->delivered_end : q->next_ready;
    uint64_t mark = c->stopping ? end : d->mark_written;
    return mark > d->recovered_mark ? mark : d->recovered_mark;
}

static void put_dedup(const struct core *c, struct buf *b, const struct dedup *d)
{
    size_t mark = wire_begin_large(b, QUEUE_DEDUP);
    for (uint64_t i = 0, count = MUTATED(forget_hashes) ? 0 : dedup_count(d); i < count; i++) {
        const struct dedup_entry *e = dedup_at(d, i);
        uint8_t *to = buf_reserve(b, DEDUP_ENTRY_SIZE);
        memcpy(to, e->hash, DEDUP_HASH_SIZE);
        wire_store64(to + DEDUP_HASH_SIZE, e->sequence);
        wire_store64(to + DEDUP_HASH_SIZE + 8, (uint64_t)(c->now.wall.ms - mono_since_ms(c->now.mono, e->at)));
        b->size += DEDUP_ENTRY_SIZE;
    }
    wire_end_large(b, mark);
}

static void put_due_run(struct buf *b, const struct due_run *run, int64_t *from)
{
    int64_t step = run->at - *from;
    uint8_t *start = buf_reserve(b, 30), *at = wire_put_varint(start, (uint64_t)step << 1 ^ (uint64_t)(step >> 63));
    at = wire_put_varint(at, run->first);
    at = wire_put_varint(at, run->count);
    b->size += (size_t)(at - start);
    *from = *from ? *from : run->at;
}

/* Overdue events get a time in the past, so that they expire at once. */
static void put_overdue(struct buf *b, const struct ranges *overdue, int64_t *from)
{
    for (uint64_t at = 0, end; ranges_next(overdue, at, &at, &end); at = end) {
        struct due_run run = { 1, at, (uint32_t)(end - at) };
        put_due_run(b, &run, from);
    }
}

/* Only those that expired: the troubles in the snapshot imply those doomed by failure. */
static void put_doomed(struct buf *b, const struct schedule *k, int64_t *from)
{
    for (uint64_t at = 0, end, first, behind; ranges_next(&k->doomed, at, &at, &end);) {
        bool some = ranges_next(&k->doomed_by_failure, at, &first, &behind);
        if (some && first == at) {
            at = behind;
            continue;
        }
        end = some && first < end ? first : end;
        struct due_run run = { 1, at, (uint32_t)(end - at) };
        put_due_run(b, &run, from);
        at = end;
    }
}

static void put_schedule(struct buf *b, const struct schedule *k)
{
    int64_t from = 0;
    size_t mark = wire_begin_large(b, QUEUE_WAITING);
    for (uint32_t i = 0; i < k->waiting.count && !MUTATED(forget_delays); i++)
        put_due_run(b, &k->waiting.runs[i], &from);
    wire_end_large(b, mark);
    from = 0;
    mark = wire_begin_large(b, QUEUE_EXPIRING);
    for (uint32_t i = 0; i < k->expiring.count; i++)
        put_due_run(b, &k->expiring.runs[i], &from);
    if (k->newest.count)
        put_due_run(b, &k->newest, &from);
    put_overdue(b, &k->overdue, &from);
    if (!MUTATED(forget_doomed))
        put_doomed(b, k, &from);
    wire_end_large(b, mark);
}

static bool take_out_delivered(void *fresh, uint64_t sequence, struct item *item)
{
    if (item->attempt)
        ranges_remove(fresh, sequence, sequence + 1);
    return true;
}

static void note_first(void *least, uint64_t first, uint64_t end)
{
    uint64_t *at = least;
    (void)end;
    *at = first < *at ? first : *at;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What was never delivered although it is below the mark: it was delayed until after the events behind it, or released,
 * or kept back by its partition or key. For events that are on disk only, backlog_attempt has the same answer. */
static void find_fresh(const struct core *c, struct queue *q, struct ranges *fresh)
{
    const struct durable *d = q->durable;
    uint64_t old = least_of(d->recovered_mark, d->recovered_end), end = least_of(mark_of(c, q), q->next_sequence);
    uint64_t first = UINT64_MAX, bytes;
    for (size_t i = 0; i < d->fresh.count; i++)
        ranges_add(fresh, ranges_at(&d->fresh, i)->first, ranges_at(&d->fresh, i)->end);
    if (old < end)
        ranges_add(fresh, old, end);
    queue_each(q, 0, take_out_delivered, fresh);
    log_each_live(c->disk, q->id, note_first, &first, &bytes);
    ranges_remove(fresh, 0, first);
}

/* At an orderly stop, when nothing is delivered any more. */
static void put_fresh(const struct core *c, struct buf *b, struct queue *q)
{
    struct ranges fresh = { 0 };
    find_fresh(c, q, &fresh);
    size_t mark = wire_begin_large(b, QUEUE_FRESH);
    for (size_t i = 0; i < fresh.count; i++) {
        const struct range *r = ranges_at(&fresh, i);
        uint8_t *start = buf_reserve(b, 20), *at = wire_put_varint(start, r->first);
        b->size += (size_t)(wire_put_varint(at, r->end - r->first) - start);
    }
    wire_end_large(b, mark);
    ranges_free(&fresh);
}

static void put_queue_state(struct core *c, struct buf *b, struct queue *q)
{
    size_t mark = wire_begin_large(b, NOTE_QUEUE);
    persist_put_declared(b, q);
    if (q->durable) {
        wire_add_number(b, QUEUE_NEXT_SEQUENCE, q->next_sequence);
        wire_add_number(b, QUEUE_MARK, mark_of(c, q));
        put_ledger(b, QUEUE_LEDGER, &q->ledger);
        if (dedup_count(&q->dedup))
            put_dedup(c, b, &q->dedup);
        if (q->schedule)
            put_schedule(b, q->schedule);
        if (c->stopping)
            put_fresh(c, b, q);
        for (const struct trouble *t = MUTATED(forget_dead) ? NULL : q->troubles; t; t = t->hh.next)
            persist_put_trouble(b, QUEUE_TROUBLE, q->id, t, ATTEMPTS_ALL);
    }
    wire_end_large(b, mark);
}

/* Only the outcomes of persistent destinations are kept: those of a queue in memory would promise events that are
 * gone. Those of a deleted queue on disk stay: a publisher that was away for long must not hear "refused" of what was
 * accepted. Entries that are accepted and not confirmed yet are in the log before this snapshot, so they are written
 * as accepted. */
static void put_destination(struct buf *b, const struct destination *d)
{
    if (!d->persistent || MUTATED(forget_outcomes))
        return;
    size_t mark = wire_begin_large(b, PRODUCER_DESTINATION);
    wire_add_span(b, DESTINATION_NAME, span_str(d->name));
    wire_add_number(b, DESTINATION_NEXT, d->next);
    wire_add_number(b, DESTINATION_SEEN, d->seen);
    for (uint32_t i = 0; i < d->outcome_count; i++)
        persist_put_run(b, DESTINATION_RUN, &d->outcomes[i]);
    for (const struct pending *p = d->first_pending; p; p = p->destination_next)
        persist_put_run(b, DESTINATION_RUN, &p->outcome);
    wire_end_large(b, mark);
}

void core_snapshot(void *context, struct buf *out)
{
    struct core *c = context;
    wire_add_number(out, STATE_NEXT_QUEUE, c->next_queue_id);
    if (c->stopping)
        wire_add_number(out, STATE_ORDERLY, 1);
    if (!c->config.confirm_synced)
        wire_add_number(out, STATE_UNSYNCED, 1);
    put_ledger(out, STATE_CLOSED_LEDGER, &c->closed_ledger);
    for (uint32_t i = 0; i < c->queue_count; i++)
        put_queue_state(c, out, c->by_name[i]);
    for (uint32_t i = 0; i < c->topic_count; i++)
        persist_put_topic(out, c->topics_by_name[i]);
    subscriptions_put(c, out);
    for (const struct producer *p = c->producers; p; p = p->hh.next) {
        size_t mark = wire_begin_large(out, NOTE_PRODUCER);
        persist_put_holder(out, p);
        for (const struct destination *d = p->destinations; d; d = d->hh.next)
            put_destination(out, d);
        wire_end_large(out, mark);
    }
}
