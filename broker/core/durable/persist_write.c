/* Writes a note to the log for each change of the core's state that must survive a restart. persist_snapshot.c writes
 * the whole state. */
#include "broker/core/durable/persist_attempts.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/persist_put.h"

/* A setting is encoded as its index in the table (1) and its value (2) or text (3). */
static void put_settings(struct buf *b, const struct queue_settings *settings)
{
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++) {
        size_t mark = wire_begin(b, QUEUE_SETTING);
        wire_add_number(b, 1, i);
        wire_add_number(b, 2, queue_settings_get(settings, (enum queue_setting)i));
        const char *text = queue_settings_text(settings, (enum queue_setting)i);
        if (text)
            wire_add_bytes(b, 3, span_str(text));
        wire_end(b, mark);
    }
}

void persist_put_declared(struct buf *b, const struct queue *q)
{
    wire_add_number(b, QUEUE_ID, q->id);
    wire_add_span(b, QUEUE_NAME, span_str(q->name));
    put_settings(b, &q->settings);
    wire_add_number(b, QUEUE_PAUSED, q->paused);
    wire_add_number(b, QUEUE_CLOSED, q->closed);
}

static void put_queue(struct buf *b, const struct queue *q)
{
    size_t mark = wire_begin(b, NOTE_QUEUE);
    persist_put_declared(b, q);
    wire_end(b, mark);
}

static uint64_t put_note(struct core *c, struct buf *b)
{
    uint64_t ticket = 0;
    if (c->disk && c->disk->ops->note(c->disk, buf_span(b), &ticket) == STORE_FAILED)
        c->failed = true;
    buf_free(b);
    return ticket;
}

uint64_t persist_note(struct core *c, struct buf *b)
{
    return put_note(c, b);
}

uint64_t persist_queue(struct core *c, const struct queue *q)
{
    struct buf b = { 0 };
    if (c->disk)
        put_queue(&b, q);
    return put_note(c, &b);
}

uint64_t persist_deleted(struct core *c, const struct queue *q)
{
    struct buf b = { 0 };
    wire_add_number(&b, NOTE_DELETED, q->id);
    return put_note(c, &b);
}

void persist_put_topic(struct buf *b, const struct topic *t)
{
    size_t mark = wire_begin(b, NOTE_TOPIC);
    wire_add_number(b, TOPIC_ID, t->id);
    wire_add_span(b, TOPIC_NAME, span_str(t->name));
    wire_add_number(b, TOPIC_UNROUTED, t->unrouted);
    wire_add_number(b, TOPIC_CATCH_ALL, t->catch_all ? t->catch_all->id : 0);
    for (uint32_t i = 0; i < t->binding_count; i++) {
        size_t binding = wire_begin(b, TOPIC_BINDING);
        wire_add_number(b, BINDING_QUEUE, t->bindings[i].queue->id);
        wire_add_span(b, BINDING_FILTER, buf_span(&t->bindings[i].filter));
        wire_end(b, binding);
    }
    wire_end(b, mark);
}

uint64_t persist_topic(struct core *c, const struct topic *t)
{
    struct buf b = { 0 };
    if (c->disk)
        persist_put_topic(&b, t);
    return put_note(c, &b);
}

uint64_t persist_topic_deleted(struct core *c, const struct topic *t)
{
    struct buf b = { 0 };
    wire_add_number(&b, NOTE_TOPIC_DELETED, t->id);
    return put_note(c, &b);
}

static void put_token(struct buf *b, struct token id)
{
    wire_add_fixed64(b, PRODUCER_HIGH, id.high);
    wire_add_fixed64(b, PRODUCER_LOW, id.low);
}

void persist_put_holder(struct buf *b, const struct producer *p)
{
    put_token(b, p->id);
    wire_add_number(b, PRODUCER_EPOCH, p->epoch);
}

uint64_t persist_producer(struct core *c, const struct producer *p)
{
    struct buf b = { 0 };
    size_t mark = wire_begin(&b, NOTE_PRODUCER);
    persist_put_holder(&b, p);
    wire_end(&b, mark);
    return put_note(c, &b);
}

void persist_put_trouble(struct buf *b, uint32_t tag, uint32_t queue, const struct trouble *t,
                         enum attempts_written attempts)
{
    size_t mark = wire_begin(b, tag);
    wire_add_number(b, TROUBLE_QUEUE, queue);
    wire_add_number(b, TROUBLE_SEQUENCE, t->sequence);
    wire_add_number(b, TROUBLE_DEAD, t->dead);
    wire_add_number(b, TROUBLE_FAILURES, t->failures);
    wire_add_number(b, TROUBLE_CRASHES, t->crashes);
    wire_add_number(b, TROUBLE_STATUS, t->status);
    wire_add_number(b, TROUBLE_ATTEMPT, t->attempt);
    wire_add_number(b, TROUBLE_SIZE, t->size);
    wire_add_number(b, TROUBLE_FIRST, (uint64_t)t->first_ms);
    wire_add_number(b, TROUBLE_LAST, (uint64_t)t->last_ms);
    wire_add_number(b, TROUBLE_DELAY, t->delay_ms);
    if (t->error)
        wire_add_span(b, TROUBLE_ERROR, span_str(t->error));
    wire_add_number(b, TROUBLE_DROPPED, t->dropped);
    if (t->since_ms != t->last_ms)
        wire_add_number(b, TROUBLE_SINCE, (uint64_t)t->since_ms);
    if (attempts != ATTEMPTS_NONE)
        persist_put_attempts(b, t, attempts == ATTEMPTS_ALL);
    wire_end(b, mark);
}

/* The encoded size of a trouble's note without attempts is at most this. */
#define TROUBLE_ROOM (TROUBLE_ERROR_MAX + 170u)
/* Without room on the disk the note of a mere failure is left out: after a crash the event comes once more. Deaths and
 * drops are always written. */
void persist_trouble(struct core *c, const struct queue *q, const struct trouble *t)
{
    struct buf b = { 0 };
    uint64_t room = q->durable ? c->disk->ops->room(c->disk) : 0;
    if (!q->durable || (!t->dead && !t->dropped && room < TROUBLE_ROOM))
        return;
    persist_put_trouble(&b, NOTE_TROUBLE, q->id, t,
                        room < TROUBLE_ROOM + ATTEMPT_ROOM ? ATTEMPTS_NONE : ATTEMPTS_NEWEST);
    put_note(c, &b);
}

uint64_t persist_mark(struct core *c, const struct queue *q, uint64_t end)
{
    struct buf b = { 0 };
    size_t mark = wire_begin(&b, NOTE_MARK);
    wire_add_number(&b, MARK_QUEUE, q->id);
    wire_add_number(&b, MARK_END, end);
    wire_end(&b, mark);
    return put_note(c, &b);
}

static uint8_t *put_fixed(uint8_t *at, uint32_t tag, uint64_t value)
{
    at = wire_put_varint(at, (uint64_t)tag << 3 | WIRE_FIXED64);
    wire_store64(at, value);
    return at + 8;
}

static uint8_t *put_number(uint8_t *at, uint32_t tag, uint64_t value)
{
    return wire_put_varint(wire_put_varint(at, (uint64_t)tag << 3 | WIRE_VARINT), value);
}

size_t persist_origin(uint8_t *out, const struct destination *d, uint64_t first,
                      const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count)
{
    uint8_t *at = put_fixed(out, ORIGIN_HIGH, d->producer->id.high);
    at = put_fixed(at, ORIGIN_LOW, d->producer->id.low);
    at = put_number(at, ORIGIN_FIRST, first);
    at = put_number(at, ORIGIN_SEEN, d->seen);
    if (count) {
        at = wire_put_varint(at, ORIGIN_HASHES << 3 | WIRE_BYTES);
        at = wire_put_varint(at, count * DEDUP_HASH_SIZE);
        memcpy(at, hashes, count * DEDUP_HASH_SIZE);
        at += count * DEDUP_HASH_SIZE;
    }
    return (size_t)(at - out);
}

void persist_terms(struct buf *note, const struct terms *terms)
{
    wire_add_fixed64(note, ORIGIN_NOT_BEFORE, (uint64_t)terms->not_before_ms);
    wire_add_fixed64(note, ORIGIN_EXPIRES, (uint64_t)terms->expires_ms);
}

void persist_put_run(struct buf *b, uint32_t tag, const struct outcome *o)
{
    size_t mark = wire_begin(b, tag);
    wire_add_number(b, RUN_FIRST, o->first);
    wire_add_number(b, RUN_COUNT, o->count);
    wire_add_number(b, RUN_SEQUENCE, o->sequence);
    wire_add_number(b, RUN_REASON, o->reason);
    wire_add_number(b, RUN_FLAGS, o->flags);
    for (size_t i = 0; i < o->target_count; i++) {
        size_t target = wire_begin(b, RUN_TARGET);
        wire_add_number(b, TARGET_SEQUENCE, o->targets[i].sequence);
        wire_add_span(b, TARGET_NAME, span_str(o->targets[i].queue));
        wire_end(b, target);
    }
    wire_end(b, mark);
}

void persist_topic_origin(struct buf *out, const struct destination *d, uint64_t first,
                          const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count, const struct queue_routes *to)
{
    out->size += persist_origin(buf_reserve(out, ORIGIN_MAX(count)), d, first, hashes, count);
    wire_add_span(out, ORIGIN_TOPIC, span_str(d->name));
    for (size_t i = 0; i < to->count; i++) {
        size_t mark = wire_begin(out, ORIGIN_TARGET);
        wire_add_number(out, TARGET_QUEUE, to->items[i].queue->id);
        wire_add_number(out, TARGET_SEQUENCE, to->items[i].has);
        wire_end(out, mark);
    }
}

uint64_t persist_outcome(struct core *c, const struct destination *d, const struct queue *q, const struct outcome *o)
{
    struct buf b = { 0 };
    size_t mark = wire_begin(&b, NOTE_OUTCOME);
    put_token(&b, d->producer->id);
    wire_add_number(&b, OUTCOME_QUEUE, q ? q->id : 0);
    wire_add_span(&b, OUTCOME_TOPIC, span_str(q ? "" : d->name));
    wire_add_number(&b, OUTCOME_SEEN, d->seen);
    persist_put_run(&b, OUTCOME_RUN, o);
    wire_end(&b, mark);
    return put_note(c, &b);
}

static void persist_forgotten(struct core *c, const struct destination *d)
{
    struct buf b = { 0 };
    size_t mark = wire_begin(&b, NOTE_OUTCOME);
    put_token(&b, d->producer->id);
    wire_add_span(&b, OUTCOME_FORGOTTEN, span_str(d->name));
    wire_end(&b, mark);
    put_note(c, &b);
}

void persist_destination_state(struct core *c, const struct destination *d)
{
    if (!c->disk)
        return;
    if (!d->persistent) {
        persist_forgotten(c, d);
        return;
    }
    for (uint32_t i = 0; i < d->outcome_count; i++) {
        if (d->outcomes[i].reason == REASON_ok)
            persist_outcome(c, d, NULL, &d->outcomes[i]);
    }
    for (const struct pending *p = d->first_pending; p; p = p->destination_next)
        persist_outcome(c, d, NULL, &p->outcome);
}
