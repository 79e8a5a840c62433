/* Admission of entries to a queue that has room. Neighbours are collected and go to the store together. */
#include "broker/core/publish/admission.h"

void admission_flush(struct admission *a)
{
    if (a->count == 0)
        return;
    struct outcome o = {
        .first = a->first, .count = a->count, .reason = REASON_ok, .sequence = a->queue->next_sequence
    };
    uint8_t origin[ORIGIN_MAX(APPEND_AT_ONCE)];
    size_t hashes = a->hashed ? a->count : 0;
    size_t size = a->queue->durable ? persist_origin(origin, a->destination, a->first, a->hashes, hashes) : 0;
    uint64_t ticket;
    queue_accept_on(a->core, a->queue, a->events, a->count, span_of(origin, size), &a->terms, &ticket);
    durable_outcome(a->core, a->destination, a->queue, ticket, &o, a->count, a->bytes);
    core_run_queue(a->core, a->queue);
    a->count = 0;
    a->hashed = false;
    a->bytes = 0;
}

void admission_refresh(struct admission *a)
{
    a->room = queue_room(a->core, a->queue);
    if (a->room.short_of == REASON_budget)
        a->room.budget += a->own;
    room_subtract(&a->room, a->count, a->bytes, true);
}

/* Drops the oldest event of the queue. Pending entries are flushed first only if nothing else is left to drop; but
 * always on a disk queue that dead-letters what it drops: the dead letter, or the record of the death, would
 * otherwise take the room on disk that was taken for them. */
static bool drop_oldest(struct admission *a)
{
    if (a->queue->durable && a->queue->settings.dead_letter_dropped)
        admission_flush(a);
    if (queue_drop_oldest(a->core, a->queue))
        return true;
    if (a->count == 0)
        return false;
    admission_flush(a);
    return queue_drop_oldest(a->core, a->queue);
}

enum reason admission_make_room(struct admission *a, uint64_t size)
{
    enum reason why;
    do {
        if (!drop_oldest(a))
            return REASON_full;
        admission_refresh(a);
        why = room_take(&a->room, size);
    } while (why == REASON_full);
    return why;
}

/* The duplicate is confirmed once the first one is durable. On disk its outcome is recorded, because no run in the
 * log tells of it. If the disk has no room for the record, a restart turns an outcome that the publisher has not
 * seen into a refusal, and the publisher tries again. */
bool admission_hashed_duplicate(struct admission *a, uint64_t sequence, const struct entry *e)
{
    struct queue *q = a->queue;
    uint64_t first = duplicate_of(a->core, q, e->dedup), ticket = 0;
    if (first == 0)
        return false;
    admission_flush(a); /* keeps outcomes in order; and the first one may be pending */
    struct outcome o = {
        .first = sequence, .count = 1, .reason = REASON_ok, .sequence = first, .flags = RUN_DUPLICATE
    };
    if (q->durable) {
        o.flags |= a->core->config.confirm_synced ? RUN_DURABLE : 0;
        ticket = room_take_record(&a->room) ? persist_outcome(a->core, a->destination, q, &o) : durable_newest(a->core);
    }
    q->duplicates++;
    durable_outcome(a->core, a->destination, q, ticket, &o, 1, e->event.size);
    return true;
}

static void keep_hash(struct admission *a, struct span hash)
{
    uint8_t *to = a->hashes[a->count];
    if (hash.size != DEDUP_HASH_SIZE) {
        memset(to, 0, DEDUP_HASH_SIZE);
        return;
    }
    memcpy(to, hash.data, DEDUP_HASH_SIZE);
    a->hashed = true;
    duplicate_enter(a->core, a->queue, hash, a->queue->next_sequence + a->count);
}

/* Times beyond this count as never. */
#define TIME_MOST (INT64_C(1) << 53)

static int64_t bounded(int64_t ms)
{
    return ms < 1 ? 1 : ms < TIME_MOST ? ms : TIME_MOST;
}

struct terms admission_terms(const struct core *c, const struct entry *e)
{
    struct terms t = { 0 };
    if (e->not_before_ms)
        t.not_before_ms = bounded(e->not_before_ms);
    if (e->delay_ms) /* counts from acceptance, so that the publisher's clock does not matter */
        t.not_before_ms = bounded(c->now.wall.ms + (int64_t)(e->delay_ms < TIME_MOST ? e->delay_ms : TIME_MOST));
    if (e->expires_ms)
        t.expires_ms = bounded(e->expires_ms);
    return t;
}

/* All pending entries must have the same terms, because a run in the log has one set of terms. */
static void agree_on_terms(struct admission *a, const struct entry *e)
{
    struct terms t = admission_terms(a->core, e);
    if (t.not_before_ms == a->terms.not_before_ms && t.expires_ms == a->terms.expires_ms)
        return;
    admission_flush(a);
    a->terms = t;
    a->on_terms = admission_has_terms(e);
}

void admission_accept(struct admission *a, uint64_t sequence, const struct entry *e)
{
    if (a->count && a->first + a->count != sequence)
        admission_flush(a); /* an entry between them was decided already: sequences of a run are dense */
    if (a->on_terms || admission_has_terms(e))
        agree_on_terms(a, e);
    if (a->count == 0)
        a->first = sequence;
    keep_hash(a, e->dedup);
    a->events[a->count++] = (struct store_event){ .event = e->event };
    a->bytes += e->event.size;
    if (a->count == APPEND_AT_ONCE)
        admission_flush(a);
}

void admission_refuse(struct core *c, struct destination *d, const struct queue *q, uint64_t sequence, enum reason why,
                      uint64_t events, uint64_t bytes)
{
    struct outcome o = { .first = sequence, .count = 1, .reason = why };
    destination_decide(c, d, &o, q, events, bytes);
}
