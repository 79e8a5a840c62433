/* Admission of entries that have room: neighbours go to the store together. */
#include "broker/core/admission.h"

void admission_flush(struct admission *a)
{
    if (a->count == 0)
        return;
    struct outcome o = {
        .first = a->first, .count = a->count, .reason = REASON_ok, .sequence = a->queue->next_sequence
    };
    uint8_t origin[ORIGIN_MAX];
    size_t size = a->queue->durable ? persist_origin(origin, a->destination, a->first) : 0;
    uint64_t ticket;
    queue_accept(a->core, a->queue, a->events, a->count, span_of(origin, size), &ticket);
    durable_outcome(a->core, a->destination, a->queue, ticket, &o, a->count, a->bytes);
    core_run_queue(a->core, a->queue);
    a->count = 0;
    a->bytes = 0;
}

void admission_accept(struct admission *a, uint64_t sequence, struct span event)
{
    if (a->count && a->first + a->count != sequence)
        admission_flush(a); /* one between was decided already */
    if (a->count == 0)
        a->first = sequence;
    a->events[a->count++] = (struct store_event){ .event = event };
    a->bytes += event.size;
    if (a->count == APPEND_AT_ONCE)
        admission_flush(a);
}

void admission_refuse(struct core *c, struct destination *d, const struct queue *q, uint64_t sequence, enum reason why,
                      uint64_t events, uint64_t bytes)
{
    struct outcome o = { .first = sequence, .count = 1, .reason = why };
    destination_decide(c, d, &o, q, events, bytes);
}
