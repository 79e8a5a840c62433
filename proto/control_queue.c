/* Descriptions of queues: of one with its partitions, and a page of a list. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* ------------------------------------------------------------------ packing */

void control_ledger_write(const struct ledger *l, Sluice__V1__Ledger *out)
{
    sluice__v1__ledger__init(out);
    out->accepted = l->accepted;
    out->acked = l->acked;
    out->dead_lettered = l->dead_lettered;
    out->expired = l->expired;
    out->purged = l->purged;
    out->dropped = l->dropped;
    out->remaining = l->remaining;
}

struct packed_queue {
    Sluice__V1__QueueInfo info;
    Sluice__V1__QueueSettings settings;
    Sluice__V1__Ledger ledger;
    Sluice__V1__Redriving redrive;
    uint64_t died[DEAD_REASONS];
};

/* Writes nothing if nothing died, as in most queues. */
static void write_died(const struct queue_info *q, struct packed_queue *p)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < DEAD_REASONS; i++)
        sum += p->died[i] = q->died[i];
    p->info.died = p->died;
    p->info.n_died = sum ? DEAD_REASONS : 0;
}

static void write_redriving(const struct redriving_info *r, struct packed_queue *p)
{
    sluice__v1__redriving__init(&p->redrive);
    p->redrive.redriven = r->redriven;
    p->redrive.left = r->left;
    p->redrive.rate = r->rate;
    p->redrive.to = control_borrow(r->to);
    p->redrive.waits = r->waits;
    if (r->rate)
        p->info.redrive = &p->redrive;
}

static void write_queue(const struct queue_info *q, struct packed_queue *p)
{
    Sluice__V1__QueueInfo *m = &p->info;
    sluice__v1__queue_info__init(m);
    control_settings_write(&q->settings, &p->settings);
    control_ledger_write(&q->ledger, &p->ledger);
    m->queue = control_borrow(q->queue);
    m->settings = &p->settings;
    m->ledger = &p->ledger;
    m->created = q->created;
    m->managed = q->managed;
    m->paused = q->paused;
    m->closed = q->closed;
    m->ready = q->ready;
    m->in_flight = q->in_flight;
    m->delayed = q->delayed;
    m->dead = q->dead;
    m->bytes = q->bytes;
    m->oldest_age_ms = q->oldest_age_ms;
    m->waiting_publishers = q->waiting_publishers;
    m->consumer = control_borrow(q->consumer);
    m->standbys = q->standbys;
    m->in_rate_milli = q->in_rate_milli;
    m->out_rate_milli = q->out_rate_milli;
    m->next_sequence = q->next_sequence;
    m->refused = q->refused;
    m->redelivered = q->redelivered;
    m->duplicates = q->duplicates;
    m->dedup_evicted = q->dedup_evicted;
    m->dead_letter_held = q->dead_letter_held;
    write_redriving(&q->redrive, p);
    write_died(q, p);
    m->active_consumers = q->active_consumers;
    m->parked_keys = q->parked_keys;
    m->parked_events = q->parked_events;
}

void control_pack_queue(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    const struct queue_info *q = &r->u.queue;
    struct packed_queue p;
    Sluice__V1__PartitionInfo *partitions = xcalloc(q->partition_count, sizeof *partitions);
    write_queue(q, &p);
    p.info.partitions = xcalloc(q->partition_count, sizeof *p.info.partitions);
    p.info.n_partitions = q->partition_count;
    for (size_t i = 0; i < q->partition_count; i++) {
        sluice__v1__partition_info__init(&partitions[i]);
        partitions[i].ready = q->partitions[i].ready;
        partitions[i].in_flight = q->partitions[i].in_flight;
        partitions[i].consumer = control_borrow(q->partitions[i].consumer);
        partitions[i].heir = control_borrow(q->partitions[i].heir);
        p.info.partitions[i] = &partitions[i];
    }
    m->result_case = SLUICE__V1__REPLY__RESULT_QUEUE;
    m->queue = &p.info;
    control_pack(&m->base, out);
    free(p.info.partitions);
    free(partitions);
}

void control_pack_queues(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__QueueList l = SLUICE__V1__QUEUE_LIST__INIT;
    size_t count = r->u.list.count;
    struct packed_queue *queues = xcalloc(count, sizeof *queues);
    l.queues = xcalloc(count, sizeof *l.queues);
    for (size_t i = 0; i < count; i++) {
        write_queue(&r->u.list.queues[i], &queues[i]);
        l.queues[i] = &queues[i].info;
    }
    l.n_queues = count;
    l.next = control_borrow(r->u.list.next);
    m->result_case = SLUICE__V1__REPLY__RESULT_LIST;
    m->list = &l;
    control_pack(&m->base, out);
    free(l.queues);
    free(queues);
}

/* ------------------------------------------------------------------ unpacking */

void control_ledger_read(const Sluice__V1__Ledger *m, struct ledger *out)
{
    *out = (struct ledger){ 0 };
    if (m)
        *out =
            (struct ledger){ m->accepted, m->acked, m->dead_lettered, m->expired, m->purged, m->dropped, m->remaining };
}

static void read_queue(const Sluice__V1__QueueInfo *m, struct queue_info *out)
{
    *out = (struct queue_info){
        .queue = m->queue,
        .created = m->created != 0,
        .managed = m->managed != 0,
        .paused = m->paused != 0,
        .closed = m->closed != 0,
        .ready = m->ready,
        .in_flight = m->in_flight,
        .delayed = m->delayed,
        .dead = m->dead,
        .bytes = m->bytes,
        .oldest_age_ms = m->oldest_age_ms,
        .waiting_publishers = m->waiting_publishers,
        .consumer = m->consumer,
        .standbys = m->standbys,
        .in_rate_milli = m->in_rate_milli,
        .out_rate_milli = m->out_rate_milli,
        .next_sequence = m->next_sequence,
        .refused = m->refused,
        .redelivered = m->redelivered,
        .duplicates = m->duplicates,
        .dedup_evicted = m->dedup_evicted,
        .dead_letter_held = m->dead_letter_held,
        .active_consumers = m->active_consumers,
        .parked_keys = m->parked_keys,
        .parked_events = m->parked_events,
    };
    for (size_t i = 0; i < m->n_died && i < DEAD_REASONS; i++) /* a newer broker may know more */
        out->died[i] = m->died[i];
    out->redrive.to = "";
    if (m->redrive)
        out->redrive = (struct redriving_info){ m->redrive->redriven, m->redrive->left, m->redrive->rate,
                                                m->redrive->to, m->redrive->waits != 0 };
    control_settings_read(m->settings, &out->settings);
    control_ledger_read(m->ledger, &out->ledger);
}

bool control_read_queue(const Sluice__V1__QueueInfo *m, struct arena *arena, struct reply *out)
{
    struct queue_info *q = &out->u.queue;
    struct partition_info *partitions = arena_alloc(arena, m->n_partitions * sizeof *partitions);
    read_queue(m, q);
    if (!partitions)
        return false;
    for (size_t i = 0; i < m->n_partitions; i++) {
        const Sluice__V1__PartitionInfo *p = m->partitions[i];
        partitions[i] = (struct partition_info){ p->ready, p->in_flight, p->consumer, p->heir };
    }
    q->partitions = partitions;
    q->partition_count = m->n_partitions;
    out->result = RESULT_QUEUE;
    return true;
}

bool control_read_queues(const Sluice__V1__QueueList *m, struct arena *arena, struct reply *out)
{
    struct queue_info *queues = arena_alloc(arena, m->n_queues * sizeof *queues);
    if (!queues)
        return false;
    for (size_t i = 0; i < m->n_queues; i++)
        read_queue(m->queues[i], &queues[i]);
    out->result = RESULT_LIST;
    out->u.list.queues = queues;
    out->u.list.count = m->n_queues;
    out->u.list.next = m->next;
    return true;
}
