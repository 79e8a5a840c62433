/* Recovers the core's state from the log: the snapshot, then the notes, runs and settlements after it. The fields of a
 * queue, a producer or a topic are decoded in files of their own. recover.c then takes over the disk. */
#include "broker/core/durable/persist_read.h"

#include "broker/core/calls/subscriptions.h"
#include "broker/core/deliver/trouble.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/persist_topic.h"
#include "broker/core/durable/salvaged.h"
#include "broker/core/queue/schedule.h"

/* ------------------------------------------------------------------ notes and the snapshot */

static bool take_field(struct core *c, const struct wire_field *f)
{
    switch (f->tag) {
    case NOTE_QUEUE: return persist_take_queue(c, f->bytes);
    case NOTE_PRODUCER: return persist_take_producer(c, f->bytes);
    case NOTE_DELETED: persist_take_deleted(c, f->number); return true;
    case NOTE_MARK: persist_take_mark(c, f->bytes); return true;
    case NOTE_OUTCOME: persist_take_outcome(c, f->bytes); return true;
    case NOTE_TROUBLE: persist_take_trouble(c, f->bytes); return true;
    case NOTE_TOPIC: return persist_take_topic(c, f->bytes);
    case NOTE_TOPIC_DELETED: persist_take_topic_deleted(c, f->number); return true;
    case NOTE_SUBSCRIPTION: return subscription_restore(c, f->bytes, false);
    case NOTE_SUBSCRIPTION_DELETED: return subscription_restore(c, f->bytes, true);
    case STATE_SUBSCRIPTION_REVISION: c->subscription_revision = f->number; return true;
    case STATE_ORDERLY: c->before.orderly = f->number != 0; return true;
    case STATE_UNSYNCED: c->before.unsynced = f->number != 0; return true;
    case STATE_NEXT_QUEUE: c->next_queue_id = (uint32_t)f->number; return true;
    case STATE_CLOSED_LEDGER: persist_take_ledger(&c->closed_ledger, f->bytes); return true;
    default: return true;
    }
}

static bool restore(void *context, struct span state)
{
    struct wire_reader r = wire_open(state);
    struct wire_field f;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f) || !take_field(context, &f))
            return false;
    }
    return true;
}

static void replay_note(void *context, struct span bytes)
{
    restore(context, bytes);
}

/* ------------------------------------------------------------------ replaying runs and settlements */

static void replay_hashes(struct core *c, struct queue *q, const struct store_run *run, struct span hashes)
{
    for (size_t i = 0; i < run->count && hashes.size >= (i + 1) * DEDUP_HASH_SIZE; i++)
        duplicate_restore(c, q, span_of(hashes.data + i * DEDUP_HASH_SIZE, DEDUP_HASH_SIZE), run->first + i,
                          run->accepted_ms);
}

static void replay_origin(struct core *c, struct queue *q, const struct store_run *run)
{
    struct wire_reader r = wire_open(run->note);
    struct wire_field f;
    struct token id = { 0 };
    struct span topic = { 0 };
    uint64_t first = 0, seen = 0;
    struct terms terms = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case ORIGIN_HIGH: id.high = f.number; break;
        case ORIGIN_LOW: id.low = f.number; break;
        case ORIGIN_FIRST: first = f.number; break;
        case ORIGIN_SEEN: seen = f.number; break;
        case ORIGIN_HASHES: replay_hashes(c, q, run, f.bytes); break;
        case ORIGIN_TOPIC: topic = f.bytes; break;
        case ORIGIN_NOT_BEFORE: terms.not_before_ms = (int64_t)f.number; break;
        case ORIGIN_EXPIRES: terms.expires_ms = (int64_t)f.number; break;
        default: break;
        }
    }
    terms = schedule_terms(q, &terms, run->accepted_ms); /* the settings are those at that point of the log */
    if (terms.not_before_ms || terms.expires_ms)
        schedule_restore(c, q, run->first, run->count, &terms);
    if (token_is_zero(id) || first == 0)
        return;
    struct destination *d = persist_destination(persist_producer_of(c, id), topic.size ? topic : span_str(q->name));
    struct outcome o = { .first = first,
                         .count = run->count,
                         .reason = REASON_ok,
                         .sequence = run->first,
                         .flags = c->config.confirm_synced ? RUN_DURABLE : 0 };
    if (topic.size)
        persist_take_targets(c, run->note, ORIGIN_TARGET, &d->newest, &o);
    destination_restore(d, &o);
    destination_seen(d, seen);
}

static void replay_run(void *context, const struct store_run *run, uint64_t bytes)
{
    struct core *c = context;
    struct queue *q = salvaged_queue(c, run->queue);
    (void)bytes;
    if (!q->durable)
        return;
    q->next_sequence = run->first + run->count;
    q->ledger.accepted += run->count;
    replay_origin(c, q, run);
}

/* Forgets the trouble of a settled event. A dead one is counted in the ledger already; so when a repair settles it
 * because its bytes are lost, that settlement must not count again. */
static void forget_settled(struct queue *q, struct trouble *t, enum store_cause cause)
{
    if (!t)
        return;
    q->dead -= t->dead != DEAD_NOT;
    q->dead_bytes -= t->dead ? t->size : 0;
    if (t->dead && cause != CAUSE_REMOVED)
        --*ledger_of(&q->ledger, cause);
    trouble_forget(q, t);
}

/* Iterates over the settlements or over the troubles, whichever are fewer. */
static void replay_settled(void *context, uint32_t queue, enum store_cause cause, uint64_t first, uint64_t count)
{
    struct queue *q = queue_by_id(context, queue);
    if (!q)
        return;
    if (cause != CAUSE_REMOVED)
        *ledger_of(&q->ledger, cause) += count;
    if (count < HASH_COUNT(q->troubles)) {
        for (uint64_t s = first; s < first + count; s++)
            forget_settled(q, trouble_find(q, s), cause);
        return;
    }
    struct trouble *t, *next;
    HASH_ITER (hh, q->troubles, t, next) {
        if (t->sequence >= first && t->sequence - first < count)
            forget_settled(q, t, cause);
    }
}

struct log_replay core_replay(struct core *core)
{
    return (struct log_replay){ core, restore, replay_run, replay_settled, replay_note };
}

bool core_can_restore(struct span state)
{
    struct core_config config;
    core_config_defaults(&config);
    struct store *memory = store_memory_open();
    struct core *c = core_new(&config, memory, (struct now){ .mono = { 1 } });
    bool fine = restore(c, state);
    core_free(c);
    memory->ops->close(memory);
    return fine;
}
