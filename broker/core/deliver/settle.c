/* How deliveries end: settled by the consumer (ack, nack, defer, drop, release, extend), settled by anybody who has
 * the receipt, or by the end of the lease or of the consumer. Only the current delivery of an event can settle it; a
 * late request changes nothing. */
#include "broker/core/state.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t bounded(uint64_t ms)
{
    return ms < LEASE_MAX_MS ? ms : LEASE_MAX_MS;
}

/* Applies one request to one current delivery. The item is in flight under `l`, which may be freed here. */
static void apply(struct core *c, struct lease *l, uint64_t sequence, struct item *item, enum settle_kind kind,
                  const struct failure *f)
{
    struct queue *q = l->consumer->queue;
    switch (kind) {
    case SETTLE_ACK:
        queue_settle(c, q, sequence, item, CAUSE_ACKED);
        rate_add(&q->out_rate, 1, c->now.mono);
        break;
    case SETTLE_NACK: retry_failed(c, q, sequence, item, f); break;
    case SETTLE_DEFER: retry_deferred(c, q, sequence, item, f); break;
    case SETTLE_DROP: retry_dropped(c, q, sequence, item, f); break;
    case SETTLE_RELEASE: /* the application never saw it: it does not count as delivered */
        if (!MUTATED(count_release))
            item->attempt--;
        queue_return(c, q, sequence, item);
        break;
    case SETTLE_EXTEND: lease_extend(c, l, sequence, item, f->delay_ms); return;
    }
    lease_delivery_ended(c, l);
}

static enum settle_result result_of(enum settle_kind kind)
{
    static const enum settle_result results[] = {
        [SETTLE_ACK] = SETTLED_ACKED,        [SETTLE_NACK] = SETTLED_NACKED,    [SETTLE_EXTEND] = SETTLED_EXTENDED,
        [SETTLE_RELEASE] = SETTLED_RELEASED, [SETTLE_DEFER] = SETTLED_DEFERRED, [SETTLE_DROP] = SETTLED_DROPPED,
    };
    return results[kind];
}

/* ------------------------------------------------------------------ by delivery number, within a consumption */

/* One request of a Settle body while it is handled: its results as runs, and the acks among them. */
struct settling {
    struct buf *out;
    struct consumer *consumer;
    const struct settle *request;
    struct settled_run run;
    uint64_t acked, first_acked; /* the newest run of acks, not remembered yet */
    uint64_t all_acked;
    bool reports_acked; /* some result is `acked`, if only repeated */
    uint64_t late_end;  /* deliveries before this one that are not current have the result `late` */
    enum settle_result late;
};

static void flush_acked(struct settling *s)
{
    if (s->acked)
        acked_remember(s->consumer->queue, s->consumer->epoch, s->first_acked, s->acked);
    s->all_acked += s->acked;
    s->acked = 0;
}

static void add_acked(struct settling *s, uint64_t delivery, uint64_t count)
{
    if (s->first_acked + s->acked != delivery) {
        flush_acked(s);
        s->first_acked = delivery;
    }
    s->acked += count;
}

/* The result for a delivery that is not current: acked if it was, else expired. */
static enum settle_result late(struct settling *s, uint64_t delivery)
{
    const struct queue *q = s->consumer->queue;
    if (s->request->kind != SETTLE_ACK)
        return SETTLED_EXPIRED;
    if (delivery >= s->late_end) {
        flush_acked(s);
        s->late = acked_before(q, s->consumer->epoch, delivery, &s->late_end) ? SETTLED_ACKED : SETTLED_EXPIRED;
    }
    return s->late;
}

static enum settle_result settle_delivery(struct core *c, struct settling *s, uint64_t delivery)
{
    struct consumer *k = s->consumer;
    struct lease *made = lease_find(k, delivery);
    if (!made)
        return late(s, delivery);
    uint64_t sequence = made->first_sequence + (delivery - made->first_delivery);
    struct item *item = queue_item(k->queue, sequence);
    struct lease *l = item ? lease_of(c, k->queue, item) : NULL;
    if (!l || (l != made && l->parent != made))
        return late(s, delivery);
    if (s->request->kind != SETTLE_ACK) {
        const struct settle *w = s->request;
        apply(c, l, sequence, item, w->kind,
              &(struct failure){ .delay_ms = bounded(w->ms), .status = w->status, .error = w->error });
    } else { /* the hot path: the rate is counted once for the whole request */
        queue_settle(c, k->queue, sequence, item, CAUSE_ACKED);
        lease_delivery_ended(c, l);
        add_acked(s, delivery, 1);
    }
    return result_of(s->request->kind);
}

/* The hot path: acks neighbouring deliveries together, as long as they are current and under the lease they were
 * delivered with. Returns how many; 0: settle the first one by itself. */
static uint64_t settle_neighbours(struct core *c, struct settling *s, uint64_t delivery, uint64_t most)
{
    struct consumer *k = s->consumer;
    struct lease *l = s->request->kind == SETTLE_ACK ? lease_find(k, delivery) : NULL;
    if (!l)
        return 0;
    uint64_t offset = delivery - l->first_delivery, left = l->count - offset;
    uint32_t count = queue_ack_run(c, k->queue, l->first_sequence + offset, left < most ? left : most, l->slot);
    if (count == 0)
        return 0;
    lease_deliveries_ended(c, l, count);
    add_acked(s, delivery, count);
    return count;
}

static void add_results(struct settling *s, uint64_t delivery, uint64_t count, enum settle_result result)
{
    if (s->run.count && result != s->run.result) {
        frame_add_settled_run(s->out, &s->run);
        s->run.count = 0;
    }
    if (s->run.count == 0)
        s->run.first = delivery;
    s->run.count += count;
    s->run.result = result;
    s->reports_acked |= result == SETTLED_ACKED;
}

/* Applies one request to the current consumption and writes its results as runs. Returns whether some result is
 * `acked`. */
static bool settle_run(struct core *c, struct consumer *k, const struct settle *request, struct buf *out)
{
    struct settling s = { .out = out, .consumer = k, .request = request };
    for (uint64_t i = 0, count; i < request->count; i += count) {
        enum settle_result result = SETTLED_ACKED;
        count = settle_neighbours(c, &s, request->first + i, request->count - i);
        if (count == 0) {
            result = settle_delivery(c, &s, request->first + i);
            count = 1;
        }
        add_results(&s, request->first + i, count, result);
    }
    frame_add_settled_run(out, &s.run);
    flush_acked(&s);
    if (s.all_acked)
        rate_add(&k->queue->out_rate, s.all_acked, c->now.mono);
    return s.reports_acked;
}

/* Holds back the results written from `start` on until the settlements are durable, where the queue is on disk and too
 * many of its settlements are not durable yet (config.unsettled_most), or an event was dropped: that result promises
 * that it will not be delivered again. Otherwise the results leave at once. */
static void hold_answer(struct core *c, struct session *s, const struct queue *q, size_t start, bool dropped)
{
    bool many = q->durable && c->disk->ops->unsettled(c->disk, q->id) > c->config.unsettled_most;
    if (q->durable && (many || dropped) && !MUTATED(answer_unsynced))
        durable_hold_bodies(c, s, start, c->disk->ops->settled_ticket(c->disk));
}

bool settle_body(struct core *c, struct session *s, struct body *b)
{
    struct consumer *k = consumer_find(s, b->name);
    uint64_t epoch = b->u.ack.consumer_epoch;
    bool current = k && k->epoch && k->epoch == epoch;
    size_t start = s->out.size;
    bool acked = false, dropped = false;
    struct open_body open = frame_begin_settled(&s->out, b->name, epoch);
    enum frame_status status;
    struct settle request;
    while ((status = ack_next(b, &request)) == FRAME_OK) {
        if (request.count > SETTLE_COUNT_MAX || (current && request.first + request.count > k->next_delivery)) {
            status = FRAME_BAD; /* settles what was never delivered (ack_next has bounded the sum) */
            break;
        }
        dropped |= request.kind == SETTLE_DROP;
        if (current)
            acked |= settle_run(c, k, &request, &s->out);
        else
            frame_add_settled_run(&s->out, &(struct settled_run){ request.first, request.count, SETTLED_EXPIRED });
    }
    frame_end(&s->out, open);
    if (acked || (current && dropped))
        hold_answer(c, s, k->queue, start, dropped);
    session_touch(c, s);
    return status == FRAME_END;
}

/* ------------------------------------------------------------------ by receipt */

/* One delivery as its receipt names it. */
struct named {
    uint64_t sequence, delivery, consumer_epoch;
};

/* The result for a delivery that is not current. */
static enum settle_result result_of_late(const struct queue *q, const struct named *d, enum settle_kind kind)
{
    uint64_t end;
    return kind == SETTLE_ACK && acked_before(q, d->consumer_epoch, d->delivery, &end) ? SETTLED_ACKED
                                                                                       : SETTLED_EXPIRED;
}

/* An ack with a receipt from before a restart: it settles its event as long as that was not delivered again. */
static enum settle_result settle_earlier(struct core *c, struct queue *q, const struct named *done)
{
    if (!q->durable || done->sequence >= q->durable->recovered_end)
        return SETTLED_EXPIRED;
    struct item *item = queue_item(q, done->sequence);
    bool untouched = item && item->state == ITEM_READY && item->attempt == backlog_attempt(q, done->sequence);
    if (untouched)
        queue_settle(c, q, done->sequence, item, CAUSE_ACKED);
    else if (!backlog_settle(c, q, done->sequence, CAUSE_ACKED))
        return result_of_late(q, done, SETTLE_ACK);
    rate_add(&q->out_rate, 1, c->now.mono);
    acked_remember(q, done->consumer_epoch, done->delivery, 1);
    return SETTLED_ACKED;
}

static enum settle_result settle_by_receipt(struct core *c, const struct receipt *r, uint64_t index,
                                            enum settle_kind kind, const struct failure *f)
{
    struct queue *q = queue_by_id(c, r->queue_id);
    if (!q)
        return SETTLED_EXPIRED; /* the queue was deleted */
    struct named done = { r->first_sequence + index, r->first_delivery + index, r->consumer_epoch };
    if (r->incarnation != c->config.incarnation)
        return kind == SETTLE_ACK && r->incarnation < c->config.incarnation ? settle_earlier(c, q, &done)
                                                                            : SETTLED_EXPIRED;
    struct item *item = queue_item(q, done.sequence);
    struct lease *l = item ? lease_of(c, q, item) : NULL;
    if (!l || (l->consumer_epoch != r->consumer_epoch && !MUTATED(skip_epoch)) ||
        l->first_delivery + (done.sequence - l->first_sequence) != done.delivery)
        return result_of_late(q, &done, kind);
    apply(c, l, done.sequence, item, kind, f);
    if (kind == SETTLE_ACK)
        acked_remember(q, done.consumer_epoch, done.delivery, 1);
    return result_of(kind);
}

void settle_receipt(struct core *c, struct session *s, const struct body *b)
{
    struct span text;
    uint64_t index;
    struct receipt r;
    size_t start = s->out.size;
    const struct receipt_ack *ack = &b->u.receipt_ack;
    enum settle_result result = SETTLED_UNKNOWN;
    if (receipt_split(ack->receipt, &text, &index) && receipt_read(c->receipt_key, text, &r) && index < r.count)
        result = settle_by_receipt(
            c, &r, index, ack->kind,
            &(struct failure){ .delay_ms = bounded(ack->ms), .status = ack->status, .error = ack->error });
    frame_add_receipt_settled(&s->out, b->u.receipt_ack.request, result);
    const struct queue *q = result == SETTLED_ACKED || result == SETTLED_DROPPED ? queue_by_id(c, r.queue_id) : NULL;
    if (q)
        hold_answer(c, s, q, start, result == SETTLED_DROPPED);
    session_touch(c, s);
}

/* ------------------------------------------------------------------ by the end of something */

/* Fails every delivery under the lease, which is freed with the last one. */
static void fail_all(struct core *c, struct lease *l)
{
    const struct failure ran_out = { .error = span_str("the lease ran out"), .lease_ended = true };
    struct queue *q = l->consumer->queue;
    uint64_t first = l->first_sequence;
    uint32_t count = l->count, slot = l->slot;
    for (uint32_t i = 0; i < count && c->leases[slot] == l && l->outstanding; i++) {
        struct item *item = queue_item(q, first + i);
        if (!item || item->state != ITEM_IN_FLIGHT || item->lease != slot)
            continue;
        retry_failed(c, q, first + i, item, &ran_out);
        bool last = l->outstanding == 1;
        lease_delivery_ended(c, l);
        if (last)
            return;
    }
}

void settle_lease_expired(struct core *c, struct lease *l)
{
    int64_t stood_still = core_stood_still_ms(c, &l->timer);
    if (stood_still)
        timers_set(&c->lease_timers, &l->timer, mono_add_ms(c->now.mono, stood_still));
    else if (!MUTATED(ignore_lease))
        fail_all(c, l);
}

/* Returns all events in flight under a listed lease and its children to the queue; all these leases are freed. */
static void end_lease(struct core *c, struct lease *l, bool crashed)
{
    struct queue *q = l->consumer->queue;
    uint64_t sequence = l->first_sequence;
    for (uint32_t left = l->outstanding + l->children; left; sequence++) {
        struct item *item = queue_item(q, sequence);
        struct lease *owner = item ? lease_of(c, q, item) : NULL;
        if (!owner || (owner != l && owner->parent != l))
            continue;
        if (crashed)
            retry_crashed(c, q, sequence, item);
        else
            retry_returned(c, q, sequence, item);
        lease_delivery_ended(c, owner);
        left--;
    }
}

void settle_consumer_left(struct core *c, struct consumer *k, bool clean)
{
    struct lease *l;
    while ((l = lease_last(k)) != NULL)
        end_lease(c, l, !clean);
    assert(k->outstanding == 0);
}
