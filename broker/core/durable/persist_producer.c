/* Producers from the log: who published, and the outcomes of what they published. */
#include "broker/core/durable/persist_read.h"

#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/persist_topic.h"

struct producer *persist_producer_of(struct core *c, struct token id)
{
    struct producer *p = NULL;
    HASH_FIND(hh, c->producers, &id, sizeof id, p);
    if (!p)
        p = producer_add(c, id);
    p->recovered = true;
    return p;
}

struct destination *persist_destination(struct producer *p, struct span name)
{
    struct destination *d = destination_of(p, name);
    d->persistent = true;
    return d;
}

static void move_outcomes(struct core *c, const struct destination *from, struct span to)
{
    struct producer *p = from->producer;
    struct destination *d = persist_destination(p, to);
    for (uint32_t i = 0; i < from->outcome_count; i++)
        destination_restore(d, &from->outcomes[i]);
    destination_seen(d, from->seen);
    if (d->next < from->next)
        d->next = from->next;
    destination_forget(c, p, span_str(from->name));
}

void persist_move_outcomes(struct core *c, struct span from, struct span to)
{
    for (struct producer *p = c->producers; p; p = p->hh.next) {
        const struct destination *d = NULL;
        HASH_FIND(hh, p->destinations, from.data, (unsigned)from.size, d);
        if (d)
            move_outcomes(c, d, to);
    }
}

static void take_run(struct core *c, struct destination *d, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct outcome o = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        switch (f.tag) {
        case RUN_FIRST: o.first = f.number; break;
        case RUN_COUNT: o.count = f.number; break;
        case RUN_SEQUENCE: o.sequence = f.number; break;
        case RUN_REASON: o.reason = (uint32_t)f.number; break;
        case RUN_FLAGS: o.flags = (uint32_t)f.number; break;
        default: break;
        }
    }
    uint64_t offset = o.sequence;
    if (o.flags & RUN_TOPIC) {
        persist_take_targets(c, bytes, RUN_TARGET, &d->newest, &o);
        o.sequence += offset;
    }
    if (o.count)
        destination_restore(d, &o);
}

static void take_destination(struct core *c, struct producer *p, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct destination *d = NULL;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == DESTINATION_NAME && name_valid(f.bytes))
            d = persist_destination(p, f.bytes);
        else if (d && f.tag == DESTINATION_NEXT)
            d->next = f.number;
        else if (d && f.tag == DESTINATION_SEEN)
            d->seen = f.number;
        else if (d && f.tag == DESTINATION_RUN)
            take_run(c, d, f.bytes);
    }
}

bool persist_take_producer(struct core *c, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct token id = { 0 };
    uint64_t epoch = 0;
    struct producer *p = NULL;
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        if (f.tag == PRODUCER_HIGH)
            id.high = f.number;
        else if (f.tag == PRODUCER_LOW)
            id.low = f.number;
        else if (f.tag == PRODUCER_EPOCH)
            epoch = f.number;
        else if (f.tag == PRODUCER_DESTINATION)
            take_destination(c, p = persist_producer_of(c, id), f.bytes);
    }
    if (!p)
        p = persist_producer_of(c, id);
    if (epoch > p->epoch)
        p->epoch = epoch;
    return true;
}

void persist_take_outcome(struct core *c, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct token id = { 0 };
    struct destination *d = NULL;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        const struct queue *q;
        if (f.tag == OUTCOME_HIGH)
            id.high = f.number;
        else if (f.tag == OUTCOME_LOW)
            id.low = f.number;
        else if (f.tag == OUTCOME_QUEUE && (q = queue_by_id(c, f.number)))
            d = persist_destination(persist_producer_of(c, id), span_str(q->name));
        else if (f.tag == OUTCOME_TOPIC && name_valid(f.bytes))
            d = persist_destination(persist_producer_of(c, id), f.bytes);
        else if (f.tag == OUTCOME_FORGOTTEN)
            destination_forget(c, persist_producer_of(c, id), f.bytes);
        else if (d && f.tag == OUTCOME_SEEN)
            destination_seen(d, f.number);
        else if (d && f.tag == OUTCOME_RUN)
            take_run(c, d, f.bytes);
    }
}
