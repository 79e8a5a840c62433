/* Replies of the control socket, packed and unpacked. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

const char *dead_reason_name(enum dead_reason why)
{
    static const char *const names[] = { "", "max_deliveries", "crash_loop", "dropped_by_app", "dropped", "expired" };
    return names[why];
}

const char *dead_hold_name(enum dead_hold why)
{
    static const char *const names[] = { "", "dead_letter_full", "dead_letter_closed", "dead_letter_missing",
                                         "dead_letter_disk" };
    return names[why];
}

/* ------------------------------------------------------------------ packing */

static void write_ledger(const struct ledger *l, Sluice__V1__Ledger *out)
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

/* Nothing where nothing died, as of most queues. */
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
    write_ledger(&q->ledger, &p->ledger);
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

static void pack_queue(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
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

static void pack_list(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
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

/* False: nothing went wrong. */
static bool write_trouble(const struct trouble_info *t, Sluice__V1__Trouble *out)
{
    sluice__v1__trouble__init(out);
    out->failures = t->failures;
    out->crashes = t->crashes;
    out->dead = t->dead;
    out->first_ms = (uint64_t)t->first_ms;
    out->last_ms = (uint64_t)t->last_ms;
    out->status = t->status;
    out->error = control_borrow(t->error);
    out->held = t->held;
    return trouble_is(t);
}

void control_peeked_write(const struct peeked *e, Sluice__V1__PeekedEvent *out, Sluice__V1__Trouble *trouble)
{
    sluice__v1__peeked_event__init(out);
    out->sequence = e->sequence;
    out->state = e->state;
    out->attempt = e->attempt;
    out->parked_behind = e->parked_behind;
    out->ready_ms = (uint64_t)e->ready_ms;
    out->expires_ms = (uint64_t)e->expires_ms;
    out->event = (ProtobufCBinaryData){ e->event.size, (uint8_t *)(uintptr_t)e->event.data };
    if (write_trouble(&e->trouble, trouble))
        out->trouble = trouble;
}

static void pack_peeked(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Peeked p = SLUICE__V1__PEEKED__INIT;
    size_t count = r->u.peeked.count;
    Sluice__V1__PeekedEvent *events = xcalloc(count, sizeof *events);
    Sluice__V1__Trouble *troubles = xcalloc(count, sizeof *troubles);
    p.events = xcalloc(count, sizeof *p.events);
    for (size_t i = 0; i < count; i++) {
        control_peeked_write(&r->u.peeked.events[i], &events[i], &troubles[i]);
        p.events[i] = &events[i];
    }
    p.n_events = count;
    p.next = r->u.peeked.next;
    m->result_case = SLUICE__V1__REPLY__RESULT_PEEKED;
    m->peeked = &p;
    control_pack(&m->base, out);
    free(p.events);
    free(troubles);
    free(events);
}

struct packed_outcomes {
    Sluice__V1__Outcomes outcomes;
    Sluice__V1__Outcome *runs;
    Sluice__V1__Target *targets, **places; /* of all runs, one behind the other */
};

static size_t count_targets(const struct outcomes *o)
{
    size_t count = 0;
    for (size_t i = 0; i < o->run_count; i++)
        count += o->runs[i].target_count;
    return count;
}

/* The run's targets at `next`, where the following run's go on. */
static size_t write_targets(const struct outcome *run, struct packed_outcomes *p, size_t next, Sluice__V1__Outcome *to)
{
    to->n_targets = run->target_count;
    to->targets = p->places + next;
    for (size_t i = 0; i < run->target_count; i++, next++) {
        sluice__v1__target__init(&p->targets[next]);
        p->targets[next].queue = control_borrow(run->targets[i].queue);
        p->targets[next].sequence = run->targets[i].sequence;
        p->places[next] = &p->targets[next];
    }
    return next;
}

static void write_outcomes(const struct outcomes *o, struct packed_outcomes *p)
{
    sluice__v1__outcomes__init(&p->outcomes);
    p->outcomes.destination = control_borrow(o->destination);
    p->outcomes.decided = o->decided;
    p->outcomes.n_runs = o->run_count;
    p->outcomes.runs = xcalloc(o->run_count, sizeof *p->outcomes.runs);
    p->runs = xcalloc(o->run_count, sizeof *p->runs);
    size_t targets = count_targets(o), next = 0;
    p->targets = xcalloc(targets, sizeof *p->targets);
    p->places = xcalloc(targets, sizeof *p->places);
    for (size_t i = 0; i < o->run_count; i++) {
        const struct outcome *run = &o->runs[i];
        Sluice__V1__Outcome *to = &p->runs[i];
        sluice__v1__outcome__init(to);
        to->first = run->first;
        to->count = run->count;
        to->reason = run->reason;
        to->sequence = run->sequence;
        to->flags = run->flags;
        next = write_targets(run, p, next, to);
        p->outcomes.runs[i] = to;
    }
}

static void pack_attached(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Attached a = SLUICE__V1__ATTACHED__INIT;
    size_t count = r->u.attached.outcome_count;
    struct packed_outcomes *outcomes = xcalloc(count, sizeof *outcomes);
    a.outcomes = xcalloc(count, sizeof *a.outcomes);
    for (size_t i = 0; i < count; i++) {
        write_outcomes(&r->u.attached.outcomes[i], &outcomes[i]);
        a.outcomes[i] = &outcomes[i].outcomes;
    }
    a.n_outcomes = count;
    a.version = r->u.attached.version;
    a.features = r->u.attached.features;
    a.token_high = r->u.attached.token.high;
    a.token_low = r->u.attached.token.low;
    a.epoch = r->u.attached.epoch;
    a.resumed = r->u.attached.resumed;
    a.received = r->u.attached.received;
    a.producer_known = r->u.attached.producer_known;
    a.window_events = r->u.attached.window_events;
    a.window_bytes = r->u.attached.window_bytes;
    a.heartbeat_ms = r->u.attached.heartbeat_ms;
    a.session_timeout_ms = r->u.attached.session_timeout_ms;
    a.rights = r->u.attached.rights;
    a.incarnation = r->u.attached.incarnation;
    a.max_event = r->u.attached.max_event;
    a.producer_epoch = r->u.attached.producer_epoch;
    m->result_case = SLUICE__V1__REPLY__RESULT_ATTACHED;
    m->attached = &a;
    control_pack(&m->base, out);
    for (size_t i = 0; i < count; i++) {
        free(outcomes[i].outcomes.runs);
        free(outcomes[i].runs);
        free(outcomes[i].targets);
        free(outcomes[i].places);
    }
    free(a.outcomes);
    free(outcomes);
}

static void pack_broker(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__BrokerInfo b = SLUICE__V1__BROKER_INFO__INIT;
    Sluice__V1__Ledger ledger;
    const struct broker_info *i = &r->u.broker;
    write_ledger(&i->ledger, &ledger);
    b.version = control_borrow(i->version);
    b.uptime_ms = i->uptime_ms;
    b.incarnation = i->incarnation;
    b.sessions = i->sessions;
    b.queues = i->queues;
    b.memory_used = i->memory_used;
    b.memory_budget = i->memory_budget;
    b.ledger = &ledger;
    b.frames_in = i->frames_in;
    b.frames_out = i->frames_out;
    b.resent = i->resent;
    b.rejected = i->rejected;
    b.rejected_bytes = i->rejected_bytes;
    b.ingress_rebinds = i->rebinds;
    b.denied = i->denied;
    b.sessions_ended = i->sessions_ended;
    b.disk_used = i->disk_used;
    b.disk_budget = i->disk_budget;
    b.disk_written = i->disk_written;
    b.disk_syncs = i->disk_syncs;
    b.disk_full = i->disk_full;
    m->result_case = SLUICE__V1__REPLY__RESULT_BROKER;
    m->broker = &b;
    control_pack(&m->base, out);
}

static void pack_small(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__Pong pong = SLUICE__V1__PONG__INIT;
    Sluice__V1__Purged purged = SLUICE__V1__PURGED__INIT;
    Sluice__V1__Redriven redriven = SLUICE__V1__REDRIVEN__INIT;
    Sluice__V1__Cancelled cancelled = SLUICE__V1__CANCELLED__INIT;
    struct packed_queue queue;
    if (r->result == RESULT_PONG) {
        pong.version = control_borrow(r->u.pong.version);
        pong.uptime_ms = r->u.pong.uptime_ms;
        m->result_case = SLUICE__V1__REPLY__RESULT_PONG;
        m->pong = &pong;
    } else if (r->result == RESULT_PURGED) {
        purged.purged = r->u.purged.purged;
        m->result_case = SLUICE__V1__REPLY__RESULT_PURGED;
        m->purged = &purged;
    } else if (r->result == RESULT_REDRIVEN) {
        redriven.redriven = r->u.redriven.redriven;
        redriven.left = r->u.redriven.left;
        redriven.running = r->u.redriven.running;
        m->result_case = SLUICE__V1__REPLY__RESULT_REDRIVEN;
        m->redriven = &redriven;
    } else if (r->result == RESULT_CANCELLED) {
        m->result_case = SLUICE__V1__REPLY__RESULT_CANCELLED;
        m->cancelled = &cancelled;
    } else if (r->result == RESULT_QUEUE) {
        write_queue(&r->u.queue, &queue);
        m->result_case = SLUICE__V1__REPLY__RESULT_QUEUE;
        m->queue = &queue.info;
    }
    control_pack(&m->base, out);
}

void reply_pack(const struct reply *r, struct buf *out)
{
    Sluice__V1__Reply m = SLUICE__V1__REPLY__INIT;
    uint8_t id[16];
    control_token_write(r->id, id);
    m.id = (ProtobufCBinaryData){ sizeof id, id };
    m.reason = r->reason;
    m.detail = control_borrow(r->detail);
    switch (r->result) {
    case RESULT_ATTACHED: pack_attached(r, &m, out); break;
    case RESULT_QUEUE: pack_queue(r, &m, out); break;
    case RESULT_LIST: pack_list(r, &m, out); break;
    case RESULT_PEEKED: pack_peeked(r, &m, out); break;
    case RESULT_BROKER: pack_broker(r, &m, out); break;
    case RESULT_EXPLAINED: control_explain_pack_reply(r, &m, out); break;
    case RESULT_TOPIC:
    case RESULT_TOPICS: control_topic_pack_reply(r, &m, out); break;
    case RESULT_SUBSCRIPTIONS: control_pack_subscriptions(r, &m, out); break;
    default: pack_small(r, &m, out);
    }
}

/* ------------------------------------------------------------------ unpacking */

static void read_ledger(const Sluice__V1__Ledger *m, struct ledger *out)
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
    read_ledger(m->ledger, &out->ledger);
}

static bool read_one_queue(const Sluice__V1__QueueInfo *m, struct arena *arena, struct reply *out)
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

static bool read_list(const Sluice__V1__QueueList *m, struct arena *arena, struct reply *out)
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

static bool read_trouble(const Sluice__V1__Trouble *m, struct trouble_info *out)
{
    *out = (struct trouble_info){ .error = "" };
    if (!m)
        return true;
    *out = (struct trouble_info){
        .failures = m->failures,
        .crashes = m->crashes,
        .dead = (enum dead_reason)m->dead,
        .first_ms = (int64_t)m->first_ms,
        .last_ms = (int64_t)m->last_ms,
        .status = m->status,
        .error = m->error,
        .held = (enum dead_hold)m->held,
    };
    return m->dead <= DEAD_LAST && m->held < DEAD_HOLDS;
}

bool control_peeked_read(const Sluice__V1__PeekedEvent *m, struct peeked *out)
{
    *out = (struct peeked){ .sequence = m->sequence,
                            .state = m->state <= STATE_DEAD ? (enum event_state)m->state : STATE_READY,
                            .attempt = m->attempt,
                            .parked_behind = m->parked_behind,
                            .ready_ms = (int64_t)m->ready_ms,
                            .expires_ms = (int64_t)m->expires_ms,
                            .event = span_of(m->event.data, m->event.len) };
    return m->state <= STATE_DEAD && read_trouble(m->trouble, &out->trouble);
}

static bool read_peeked(const Sluice__V1__Peeked *m, struct arena *arena, struct reply *out)
{
    struct peeked *events = arena_alloc(arena, m->n_events * sizeof *events);
    if (!events)
        return false;
    for (size_t i = 0; i < m->n_events; i++) {
        if (!control_peeked_read(m->events[i], &events[i]))
            return false;
    }
    out->result = RESULT_PEEKED;
    out->u.peeked.events = events;
    out->u.peeked.count = m->n_events;
    out->u.peeked.next = m->next;
    return true;
}

static bool read_targets(const Sluice__V1__Outcome *m, struct arena *arena, struct outcome *out)
{
    struct target *targets = m->n_targets ? arena_alloc(arena, m->n_targets * sizeof *targets) : NULL;
    if (m->n_targets && !targets)
        return false;
    for (size_t i = 0; i < m->n_targets; i++)
        targets[i] = (struct target){ m->targets[i]->queue, m->targets[i]->sequence };
    out->targets = targets;
    out->target_count = m->n_targets;
    return true;
}

static bool read_outcomes(const Sluice__V1__Outcomes *m, struct arena *arena, struct outcomes *out)
{
    struct outcome *runs = arena_alloc(arena, m->n_runs * sizeof *runs);
    if (!runs)
        return false;
    for (size_t i = 0; i < m->n_runs; i++) {
        const Sluice__V1__Outcome *r = m->runs[i];
        runs[i] = (struct outcome){
            .first = r->first, .count = r->count, .reason = r->reason, .sequence = r->sequence, .flags = r->flags
        };
        if (!read_targets(r, arena, &runs[i]))
            return false;
    }
    *out = (struct outcomes){ m->destination, m->decided, runs, m->n_runs };
    return true;
}

static bool read_attached(const Sluice__V1__Attached *m, struct arena *arena, struct reply *out)
{
    struct outcomes *outcomes = arena_alloc(arena, m->n_outcomes * sizeof *outcomes);
    if (!outcomes)
        return false;
    for (size_t i = 0; i < m->n_outcomes; i++) {
        if (!read_outcomes(m->outcomes[i], arena, &outcomes[i]))
            return false;
    }
    out->result = RESULT_ATTACHED;
    out->u.attached.version = m->version;
    out->u.attached.features = m->features;
    out->u.attached.token = (struct token){ m->token_high, m->token_low };
    out->u.attached.epoch = m->epoch;
    out->u.attached.resumed = m->resumed != 0;
    out->u.attached.producer_known = m->producer_known != 0;
    out->u.attached.received = m->received;
    out->u.attached.outcomes = outcomes;
    out->u.attached.outcome_count = m->n_outcomes;
    out->u.attached.window_events = m->window_events;
    out->u.attached.window_bytes = m->window_bytes;
    out->u.attached.heartbeat_ms = m->heartbeat_ms;
    out->u.attached.session_timeout_ms = m->session_timeout_ms;
    out->u.attached.rights = m->rights;
    out->u.attached.incarnation = m->incarnation;
    out->u.attached.max_event = m->max_event;
    out->u.attached.producer_epoch = m->producer_epoch;
    return true;
}

static void read_broker(const Sluice__V1__BrokerInfo *m, struct reply *out)
{
    out->result = RESULT_BROKER;
    out->u.broker = (struct broker_info){
        .version = m->version,
        .uptime_ms = m->uptime_ms,
        .incarnation = m->incarnation,
        .sessions = m->sessions,
        .queues = m->queues,
        .memory_used = m->memory_used,
        .memory_budget = m->memory_budget,
        .frames_in = m->frames_in,
        .frames_out = m->frames_out,
        .resent = m->resent,
        .rejected = m->rejected,
        .rejected_bytes = m->rejected_bytes,
        .rebinds = m->ingress_rebinds,
        .denied = m->denied,
        .sessions_ended = m->sessions_ended,
        .disk_used = m->disk_used,
        .disk_budget = m->disk_budget,
        .disk_written = m->disk_written,
        .disk_syncs = m->disk_syncs,
        .disk_full = m->disk_full,
    };
    read_ledger(m->ledger, &out->u.broker.ledger);
}

static bool read_result(const Sluice__V1__Reply *m, struct arena *arena, struct reply *out)
{
    switch (m->result_case) {
    case SLUICE__V1__REPLY__RESULT_ATTACHED: return read_attached(m->attached, arena, out);
    case SLUICE__V1__REPLY__RESULT_PONG:
        out->result = RESULT_PONG;
        out->u.pong.version = m->pong->version;
        out->u.pong.uptime_ms = m->pong->uptime_ms;
        return true;
    case SLUICE__V1__REPLY__RESULT_QUEUE: return read_one_queue(m->queue, arena, out);
    case SLUICE__V1__REPLY__RESULT_LIST: return read_list(m->list, arena, out);
    case SLUICE__V1__REPLY__RESULT_PEEKED: return read_peeked(m->peeked, arena, out);
    case SLUICE__V1__REPLY__RESULT_PURGED:
        out->result = RESULT_PURGED;
        out->u.purged.purged = m->purged->purged;
        return true;
    case SLUICE__V1__REPLY__RESULT_CANCELLED: out->result = RESULT_CANCELLED; return true;
    case SLUICE__V1__REPLY__RESULT_REDRIVEN:
        out->result = RESULT_REDRIVEN;
        out->u.redriven.redriven = m->redriven->redriven;
        out->u.redriven.left = m->redriven->left;
        out->u.redriven.running = m->redriven->running != 0;
        return true;
    case SLUICE__V1__REPLY__RESULT_SUBSCRIPTIONS: return control_read_subscriptions(m->subscriptions, arena, out);
    case SLUICE__V1__REPLY__RESULT_BROKER: read_broker(m->broker, out); return true;
    case SLUICE__V1__REPLY__RESULT_EXPLAINED: return control_explain_read_reply(m, out);
    case SLUICE__V1__REPLY__RESULT_TOPIC:
    case SLUICE__V1__REPLY__RESULT_TOPICS: return control_topic_read_reply(m, arena, out);
    default: return true;
    }
}

bool reply_unpack(struct span bytes, struct arena *arena, struct reply *out)
{
    ProtobufCAllocator allocator = control_allocator(arena);
    *out = (struct reply){ .detail = "" };
    if (!control_texts(&sluice__v1__reply__descriptor, bytes))
        return false;
    Sluice__V1__Reply *m = sluice__v1__reply__unpack(&allocator, bytes.size, bytes.data);
    if (!m || !control_token_read(&m->id, &out->id))
        return false;
    out->reason = (enum reason)m->reason;
    out->detail = m->detail;
    return read_result(m, arena, out);
}
