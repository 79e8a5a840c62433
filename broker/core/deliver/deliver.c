/* Consumers and deliveries. A queue has one active consumer (a queue with partitions, one for each); the others stand
 * by in the order of their arrival and take over when it leaves. A delivery needs credit of the consumer and room on
 * its session's link; nothing is sent ahead of either. */
#include "broker/core/partition/partition.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

struct consumer *consumer_find(struct session *s, struct span queue)
{
    struct consumer *k;
    DL_FOREACH2(s->consumers, k, session_next)
    {
        if (span_equal(span_str(k->queue->name), queue))
            return k;
    }
    return NULL;
}

/* Does a consumer stand by that would become active if another one left? */
static bool is_contended(const struct queue *q)
{
    return q->consumer_count > (q->partitions ? q->partitions->count : 1);
}

void deliver_send_turn(struct core *c, struct consumer *k, enum turn_state state)
{
    struct session *s = k->session;
    bool contended = is_contended(k->queue);
    frame_add_turn(&s->out, span_str(k->queue->name), state, state == TURN_ACTIVE ? k->epoch : 0, contended, REASON_ok,
                   k->number);
    k->contended_told = contended;
    session_touch(c, s);
}

/* Tells active consumers when others begin or cease to stand by: an idle one then makes way. */
static void tell_contention(struct core *c, struct queue *q)
{
    for (struct consumer *k = q->consumers; k; k = k->queue_next) {
        if (k->epoch && k->contended_told != is_contended(q))
            deliver_send_turn(c, k, TURN_ACTIVE);
        if (!q->partitions)
            return; /* the active one comes first */
    }
}

/* Activates the next consumer. */
static void activate(struct core *c, struct queue *q)
{
    if (q->partitions) {
        share_out(c, q);
        return;
    }
    struct consumer *k = MUTATED(second_active) && q->consumers ? q->consumers->queue_prev : q->consumers;
    q->active = k;
    if (!k)
        return;
    k->epoch = k->fence = ++q->consumer_epoch;
    deliver_send_turn(c, k, TURN_ACTIVE);
    core_run_queue(c, q);
}

void deliver_set_partitions(struct core *c, struct queue *q)
{
    spill_forget(c, q);
    partitions_set(q);
    q->returned.count = 0;
    q->active = NULL;
    for (struct consumer *k = q->consumers; k; k = k->queue_next) {
        k->epoch = k->fence = 0;
        k->served = 0;
    }
    activate(c, q);
    for (struct consumer *k = q->consumers; k; k = k->queue_next) {
        if (!k->epoch)
            deliver_send_turn(c, k, TURN_STANDBY);
    }
}

static void refuse_consume(struct core *c, struct session *s, struct span queue, uint32_t number, enum reason why)
{
    frame_add_turn(&s->out, queue, TURN_NONE, 0, false, why, number);
    session_touch(c, s);
}

void deliver_consume(struct core *c, struct session *s, struct span name, uint32_t number)
{
    struct queue *q = queue_find(c, name);
    if (!q && c->config.auto_declare && !c->stopping)
        operate_declare(c, name, NULL, false, false, &q, NULL, NULL);
    if (!q) {
        refuse_consume(c, s, name, number, REASON_unknown_queue);
        return;
    }
    if (consumer_find(s, name))
        return; /* consuming twice is one consumption */
    struct consumer *k = xcalloc(1, sizeof *k);
    k->session = s;
    k->queue = q;
    k->number = number;
    k->next_delivery = 1;
    DL_APPEND2(q->consumers, k, queue_prev, queue_next);
    DL_APPEND2(s->consumers, k, session_prev, session_next);
    q->consumer_count++;
    if (q->partitions || !q->active || MUTATED(second_active))
        activate(c, q);
    if (!k->epoch)
        deliver_send_turn(c, k, TURN_STANDBY);
    tell_contention(c, q);
}

static void remove_consumer(struct consumer *k)
{
    struct queue *q = k->queue;
    DL_DELETE2(q->consumers, k, queue_prev, queue_next);
    DL_DELETE2(k->session->consumers, k, session_prev, session_next);
    q->consumer_count--;
    if (q->active == k)
        q->active = NULL;
    if (q->partitions)
        share_forget(q, k);
    free(k->leases);
    free(k);
}

void deliver_leave(struct core *c, struct consumer *k, bool clean)
{
    struct queue *q = k->queue;
    settle_consumer_left(c, k, clean);
    remove_consumer(k);
    if (q->partitions || !q->active)
        activate(c, q);
    tell_contention(c, q);
}

void deliver_queue_deleted(struct core *c, struct queue *q, enum reason why)
{
    while (q->consumers) {
        struct consumer *k = q->consumers;
        q->active = NULL;
        refuse_consume(c, k->session, span_str(q->name), k->number, why);
        settle_consumer_left(c, k, true);
        remove_consumer(k);
    }
}

void deliver_credit(struct core *c, struct consumer *k, uint64_t generation, uint64_t limit)
{
    if (generation <= k->generation)
        return; /* overtaken by a newer one */
    k->generation = generation;
    k->most_granted = limit > k->most_granted ? limit : k->most_granted;
    k->limit = MUTATED(ignore_credit) ? limit + 3 : limit;
    if (k->epoch)
        core_run_queue(c, k->queue);
}

/* ------------------------------------------------------------------ Deliver */

/* A run of neighbouring events to be copied into a Deliver at once, as their bytes are adjacent in the store. */
struct copying {
    const uint8_t *start;
    size_t size;
};

static void copy_out(struct buf *out, struct copying *run)
{
    if (run->size)
        buf_add(out, run->start, run->size);
    run->size = 0;
}

static void add_event(struct core *c, struct queue *q, const struct item *item, struct buf *out, struct copying *run)
{
    struct span event;
    struct store *store = queue_store(c, q);
    store->ops->read(store, q->id, item->at, &event);
    if (run->size && run->start + run->size == event.data) {
        run->size += event.size;
        return;
    }
    copy_out(out, run);
    *run = (struct copying){ event.data, event.size };
}

/* How many events from `first` on can go as one batch, within `credit` and about `bytes`. */
static uint32_t batch_size(struct queue *q, uint64_t first, uint64_t credit, size_t bytes)
{
    if (first != q->next_ready)
        return 1; /* a redelivery goes alone: its neighbours may have another `attempt` */
    uint64_t end = queue_deliverable_end(q);
    return queue_ready_run(q, credit < end - first ? credit : end - first, bytes);
}

/* The next batch for the consumer; of a queue with partitions it has left its partition already. count 0: none. */
static struct selection next_batch(struct core *c, struct consumer *k, size_t bytes)
{
    struct selection s = { 0 };
    if (k->next_delivery > k->limit)
        return s;
    uint64_t credit = k->limit - k->next_delivery + 1;
    if (k->queue->partitions)
        return partition_take(c, k, credit, bytes);
    if (queue_next(k->queue, &s.first))
        s.count = batch_size(k->queue, s.first, credit, bytes);
    return s;
}

/* Writes one batch under one lease and one receipt. */
static void deliver_batch(struct core *c, struct consumer *k, const struct selection *s)
{
    struct queue *q = k->queue;
    struct buf *out = &k->session->out;
    struct lease *l = lease_new(c, k, s->first, k->next_delivery);
    struct receipt receipt = { q->id, c->config.incarnation, k->epoch, k->next_delivery, s->first, s->count };
    char text[RECEIPT_MAX_SIZE];
    size_t text_size = receipt_write(c->receipt_key, &receipt, text);
    uint32_t attempt = queue_item(q, s->first)->attempt + 1u;
    size_t mark = frame_begin_batch(out, k->next_delivery, s->first, attempt, span_of(text, text_size));
    struct copying run = { 0 };
    for (uint32_t i = 0; i < s->count; i++)
        add_event(c, q, queue_item(q, s->first + i), out, &run);
    queue_taken_run(q, s->first, s->count, l->slot);
    copy_out(out, &run);
    wire_end(out, mark);
    l->partition = s->partition;
    l->count = l->outstanding = s->count;
    k->outstanding += s->count;
    k->next_delivery += s->count;
}

/* Writes one Deliver body; false when there was nothing to deliver. */
static bool deliver_some(struct core *c, struct consumer *k)
{
    struct queue *q = k->queue;
    struct buf *out = &k->session->out;
    size_t most = c->config.deliver_frame;
    struct selection s = next_batch(c, k, most);
    if (s.count == 0)
        return false;
    struct open_body open =
        frame_begin_deliver(out, span_str(q->name), k->epoch, (uint32_t)q->settings.lease_ms, k->number);
    if (k->fence != k->epoch)
        frame_add_fence(out, k->fence);
    do {
        deliver_batch(c, k, &s);
        s = out->size < most ? next_batch(c, k, most - out->size) : (struct selection){ 0 };
    } while (s.count);
    frame_end(out, open);
    session_touch(c, k->session);
    return true;
}

/* Will more become deliverable in a moment, without the client doing anything: is it being read from the disk, or
 * waiting for its mark? Then Idle is not sent yet. Does not count: what must wait for others because no more can be
 * spilled. */
static bool more_comes(const struct core *c, struct queue *q)
{
    if (!q->partitions)
        return durable_comes(q);
    const struct spill *a = &q->partitions->spill;
    bool waits = partition_is_full(c, q) && (spill_is_exhausted(c) || timer_is_set(&a->stalled));
    if (waits)
        return spill_comes_without_room(c, q);
    return q->partitions->starved || (q->durable && spill_comes(c, q)) || durable_comes(q);
}

static void deliver_to(struct core *c, struct consumer *k)
{
    struct queue *q = k->queue;
    while (!q->paused && !c->failed) {
        durable_move_mark(c, q);
        if (!session_takes(k->session)) {
            k->session->stalled = true;
            return;
        }
        if (!deliver_some(c, k)) {
            durable_move_mark(c, q); /* the search advanced, and there may be no later call to do this */
            break;
        }
        if (k->session->out.size >= c->config.deliver_frame)
            session_flush(c, k->session);
    }
    if (k->next_delivery <= k->limit && k->idle_told != k->generation && !more_comes(c, q)) {
        k->idle_told = k->generation;
        frame_add_idle(&k->session->out, span_str(q->name), k->generation);
        session_touch(c, k->session);
    }
}

void deliver_run(struct core *c, struct queue *q)
{
    if (c->stopping || !q->active)
        return;
    if (!q->partitions) {
        deliver_to(c, q->active);
        return;
    }
    share_move(c, q);
    q->partitions->starved = false;
    for (struct consumer *k = q->consumers; k; k = k->queue_next) {
        if (k->epoch)
            deliver_to(c, k);
    }
    if (partition_has_more(c, q))
        core_run_queue(c, q);
}
