/* Recovery: when the log was replayed, everything that a queue holds becomes its backlog. */
#include "broker/core/deliver/doomed.h"
#include "broker/core/deliver/trouble.h"
#include "broker/core/durable/salvaged.h"

static void add_live(void *context, uint64_t first, uint64_t end)
{
    backlog_add(context, first, end - first, 0);
}

/* Where a confirm does not wait for the sync, confirmed events may be lost in an unclean stop. Their sequences are
 * skipped: a late receipt, or an application's own log, would take new events under the same sequences for the lost
 * ones. */
#define SEQUENCES_SKIPPED (UINT64_C(1) << 24)

/* After a crash of the machine nothing need be left of what was written behind a checkpoint. So where confirms do not
 * wait for the sync, a log that ends with its checkpoint does not prove an orderly stop. */
static bool may_lack_confirmed(const struct core *c, const struct log_info *log)
{
    return (!c->config.confirm_synced || c->before.unsynced) && (log->unclean || !c->before.orderly);
}

/* Forgets the failures of an event that is not in the log any more: a repair found the record of a failure but not
 * the event. No other event gets its sequence, because the next start would take it for this one. */
static void forget_lost(struct queue *q, struct trouble *t)
{
    if (t->sequence >= q->next_sequence)
        q->next_sequence = t->sequence + 1;
    if (t->dead) {
        --*dead_counter(&q->ledger, t->dead);
        q->dead--;
        q->dead_bytes -= t->size;
    }
    trouble_forget(q, t);
}

static void forget_all_lost(struct queue *q)
{
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next) {
        if (!ranges_has(&q->durable->backlog, t->sequence))
            forget_lost(q, t);
    }
}

/* Dead events are not backlog. They are taken out in order, because a hole in the middle of many ranges moves half
 * of them. */
static void take_out_dead(struct queue *q)
{
    struct durable *d = q->durable;
    for (struct trouble *t = dead_next(q, NULL); t; t = dead_next(q, t))
        d->backlog_events -= ranges_remove(&d->backlog, t->sequence, t->sequence + 1);
    d->backlog_bytes -= q->dead_bytes < d->backlog_bytes ? q->dead_bytes : d->backlog_bytes;
    if (d->backlog_events == 0)
        d->backlog_bytes = 0;
}

/* Makes all that the log holds for the queue its backlog. False, with a message in `e`: its books do not balance. */
static bool recover_queue(struct core *c, struct queue *q, struct error *e)
{
    struct durable *d = q->durable;
    struct log_info log;
    uint64_t bytes;
    log_info(c->disk, &log);
    if (may_lack_confirmed(c, &log))
        q->next_sequence += SEQUENCES_SKIPPED;
    log_each_live(c->disk, q->id, add_live, q, &bytes);
    d->backlog_bytes = bytes;
    forget_all_lost(q);
    take_out_dead(q);
    if (log.unclean)
        ranges_free(&d->fresh);
    schedule_recover(c, q);
    q->bytes = d->backlog_bytes;
    q->ready = d->backlog_events;
    q->delayed = backlog_on_disk(q) - d->backlog_events;
    doomed_recover(c, q);
    uint64_t first = q->next_sequence, end;
    ranges_next(&d->backlog, 0, &first, &end);
    q->base = q->loaded = q->next_ready = d->backlog_events ? first : q->next_sequence;
    d->end = d->recovered_end = q->next_sequence;
    d->mark = d->mark_written = d->recovered_mark > 1 ? d->recovered_mark : 1;
    const struct ledger *l = &q->ledger;
    uint64_t gone = l->acked + l->dead_lettered + l->expired + l->purged + l->dropped;
    if (l->accepted == gone + queue_remaining(q))
        return true;
    return error_set(e,
                     "the books of queue '%s' do not balance: accepted %llu, left %llu, remaining %llu; run "
                     "sluice-broker --check on the data directory",
                     q->name, (unsigned long long)l->accepted, (unsigned long long)gone,
                     (unsigned long long)queue_remaining(q));
}

bool core_open_disk(struct core *c, struct store *disk, struct now now, struct error *e)
{
    c->now = now;
    c->disk = disk;
    for (uint32_t i = 0; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        if (q->durable && !recover_queue(c, q, e))
            return false;
        core_run_queue(c, q);
    }
    salvaged_check_dead_letters(c);
    for (struct producer *p = c->producers; p; p = p->hh.next) {
        destinations_recovered(c, p);
        producer_release(c, p);
    }
    return true;
}
