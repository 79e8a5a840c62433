/* A note contains only the attempt that just ended, and recovery appends it to the history as the broker did when it
 * wrote the note. So the size of notes does not grow with the number of failures. */
#include "broker/core/durable/persist_attempts.h"

#include "broker/core/deliver/attempts.h"
#include "broker/core/durable/persist_fields.h"

static void put(struct buf *b, const struct attempt *a)
{
    size_t mark = wire_begin(b, TROUBLE_HISTORY);
    wire_add_number(b, ATTEMPT_NUMBER, a->number);
    wire_add_number(b, ATTEMPT_OUTCOME, a->outcome);
    wire_add_number(b, ATTEMPT_DELIVERED, (uint64_t)a->delivered_ms);
    wire_add_number(b, ATTEMPT_LATENCY, a->latency_ms);
    wire_add_number(b, ATTEMPT_STATUS, a->status);
    wire_add_span(b, ATTEMPT_CONSUMER, span_str(a->text));
    wire_add_span(b, ATTEMPT_ERROR, span_str(a->text + a->error_at));
    wire_end(b, mark);
}

void persist_put_attempts(struct buf *b, const struct trouble *t, bool all)
{
    const struct history *h = t->history;
    if (!h)
        return;
    if (all)
        wire_add_number(b, TROUBLE_OLDER, h->older);
    for (const struct attempt *a = all ? h->oldest : h->newest; a; a = a->next)
        put(b, a);
}

static void take(struct core *c, struct queue *q, struct trouble *t, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct attempt_info a = { 0 };
    struct span consumer = { 0 }, error = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case ATTEMPT_NUMBER: a.number = (uint32_t)f.number; break;
        case ATTEMPT_OUTCOME: a.outcome = f.number < ATTEMPT_OUTCOMES ? (enum attempt_outcome)f.number : 0; break;
        case ATTEMPT_DELIVERED: a.delivered_ms = (int64_t)f.number; break;
        case ATTEMPT_LATENCY: a.latency_ms = (uint32_t)f.number; break;
        case ATTEMPT_STATUS: a.status = (uint32_t)f.number; break;
        case ATTEMPT_CONSUMER: consumer = f.bytes; break;
        case ATTEMPT_ERROR: error = f.bytes; break;
        default: break;
        }
    }
    if (a.outcome != ATTEMPT_IN_FLIGHT) /* unknown outcomes are a newer broker's */
        attempts_restore(c, q, t, &a, consumer, error);
}

void persist_take_attempts(struct core *c, struct queue *q, struct trouble *t, struct span trouble)
{
    struct wire_reader r = wire_open(trouble);
    struct wire_field f;
    uint64_t older = 0;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == TROUBLE_OLDER)
            older = f.number;
        else if (f.tag == TROUBLE_HISTORY)
            take(c, q, t, f.bytes);
    }
    if (t->history)
        t->history->older += older;
}
