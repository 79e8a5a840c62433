/* Takes, served in the order in which they arrived.
 *
 * The credit given to the broker is exactly what the waiting takes still want, so that no event's lease starts before
 * somebody is there to take it. The broker answers credit with the events it has, then with Idle. A take ends when it
 * has `max` events or is full by bytes, or at Idle if it has some; while the broker is idle it ends with the loop turn
 * that brings its next event. */
#include "base/xalloc.h"
#include "sidecar/link/uplink_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* How long a take with wait=0 waits for the broker's answer. */
#define ONCE_MS 2000

static struct consumed_queue *find(struct uplink *u, const char *queue)
{
    struct consumed_queue *q = NULL;
    HASH_FIND_STR(u->queues, queue, q);
    return q;
}

static struct consumed_queue *find_or_add(struct uplink *u, const char *queue)
{
    struct consumed_queue *q = find(u, queue);
    if (q)
        return q;
    q = xcalloc(1, sizeof *q);
    snprintf(q->queue, sizeof q->queue, "%s", queue);
    q->unused_since = MONO_NEVER;
    HASH_ADD_STR(u->queues, queue, q);
    return q;
}

static void take_free(struct take *k)
{
    buf_free(&k->bytes);
    free(k->events);
    free(k);
}

/* ------------------------------------------------------------------ the end of a take */

static struct span at(const struct take *k, size_t offset, size_t size)
{
    return span_of(k->bytes.data + offset, size);
}

/* Releases what the take has collected: nobody has seen these events. lease_ended is not called for them, because the
 * request may be gone by then. */
static void give_back(struct uplink *u, struct take *k)
{
    for (uint32_t i = 0; i < k->count; i++) {
        struct span receipt = at(k, k->events[i].receipt, k->events[i].receipt_size);
        uplink_disown(u, receipt);
        uplink_release(u, receipt, u->now);
    }
    k->count = 0;
    buf_clear(&k->bytes);
}

static void finish(struct uplink *u, struct consumed_queue *q, struct take *k, enum reason reason)
{
    DL_DELETE(q->waiting, k);
    struct api_taken *events = xcalloc(k->count + 1u, sizeof *events);
    for (uint32_t i = 0; i < k->count; i++) {
        const struct taken_at *e = &k->events[i];
        events[i] = (struct api_taken){ e->sequence, e->attempt, at(k, e->receipt, e->receipt_size),
                                        at(k, e->event, e->event_size), e->lease_ms };
    }
    struct uplink_taken taken = {
        .events = events,
        .count = k->count,
        .standby = q->state == TURN_STANDBY,
        .consumer_epoch = q->state == TURN_ACTIVE ? (q->fence > q->epoch ? q->fence : q->epoch) : 0,
        .reason = reason,
    };
    u->taken_events += k->count;
    k->by->taken(k->request, &taken);
    free(events);
    take_free(k);
}

static void fail_all(struct uplink *u, struct consumed_queue *q, enum reason reason)
{
    while (q->waiting) {
        give_back(u, q->waiting);
        finish(u, q, q->waiting, reason);
    }
}

/* The first take whose client is still connected: events given to one that is gone would stay leased until the lease
 * ends. */
static struct take *first_alive(struct uplink *u, struct consumed_queue *q)
{
    while (q->waiting && q->waiting->count == 0 && !q->waiting->by->alive(q->waiting->request))
        finish(u, q, q->waiting, REASON_ok);
    return q->waiting;
}

/* ------------------------------------------------------------------ beginning */

void uplink_take(struct uplink *u, const char *queue, uint32_t max, int64_t wait_ms, void *request, struct now now)
{
    uplink_take_by(u, &u->handler, queue, max, wait_ms, request, now);
}

void uplink_take_by(struct uplink *u, const struct uplink_handler *by, const char *queue, uint32_t max, int64_t wait_ms,
                    void *request, struct now now)
{
    u->now = now;
    struct take *k = xcalloc(1, sizeof *k);
    struct consumed_queue *q = find_or_add(u, queue);
    k->by = by;
    k->request = request;
    k->max = max;
    k->once = wait_ms == 0;
    k->deadline = mono_add_ms(now.mono, k->once ? ONCE_MS : wait_ms);
    DL_APPEND(q->waiting, k);
    if (u->draining || (k->once && !client_is_attached(u->client))) {
        finish(u, q, k, u->draining ? REASON_draining : REASON_unavailable);
        return;
    }
    q->unused_since = MONO_NEVER;
    if (!q->consuming)
        client_consume(u->client, span_str(queue));
    q->consuming = true;
    if (k->once && q->state == TURN_STANDBY)
        finish(u, q, k, REASON_ok);
}

/* ------------------------------------------------------------------ from the broker */

void takes_turn(struct uplink *u, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                enum reason reason)
{
    struct consumed_queue *q = find(u, queue);
    if (!q)
        return;
    if (state != TURN_ACTIVE || q->epoch != epoch) { /* a new turn, or none: leases of the earlier one are void */
        leases_void(u, q);
        for (struct take *k = q->waiting; k; k = k->next) {
            k->count = 0;
            buf_clear(&k->bytes);
        }
        q->idle = false;
    }
    q->state = state;
    q->epoch = state == TURN_ACTIVE ? epoch : 0;
    q->contended = contended;
    if (state == TURN_NONE) {
        q->consuming = false;
        fail_all(u, q, reason);
        return;
    }
    struct take *k, *next;
    DL_FOREACH_SAFE (q->waiting, k, next) {
        if (state == TURN_STANDBY && k->once)
            finish(u, q, k, REASON_ok);
    }
}

static void collect(struct uplink *u, struct consumed_queue *q, struct take *k, const struct client_delivery *d)
{
    char index[24];
    if (k->count == k->capacity) {
        k->capacity = k->capacity ? k->capacity * 2 : 1;
        k->events = xrealloc(k->events, k->capacity * sizeof *k->events);
    }
    size_t digits = (size_t)snprintf(index, sizeof index, ".%llu", (unsigned long long)d->receipt_index);
    struct taken_at *e = &k->events[k->count++];
    *e = (struct taken_at){ .sequence = d->sequence, .attempt = d->attempt, .lease_ms = d->lease_ms };
    e->receipt = k->bytes.size;
    e->receipt_size = d->receipt.size + digits;
    buf_add(&k->bytes, d->receipt.data, d->receipt.size);
    buf_add(&k->bytes, index, digits);
    e->event = k->bytes.size;
    e->event_size = d->event.size;
    buf_add(&k->bytes, d->event.data, d->event.size);
    leases_add(u, q, k, at(k, e->receipt, e->receipt_size), d->lease_ms);
}

static bool is_full(const struct uplink *u, const struct take *k)
{
    return k->count == k->max || k->bytes.size >= u->config.take_bytes;
}

/* Tells the broker how many events are wanted. Lowered at once when a take ends early, so that events already on their
 * way beyond the new credit are returned. */
static void update_credit(struct uplink *u, struct consumed_queue *q)
{
    uint64_t wanted = 0;
    if (!q->consuming)
        return;
    for (const struct take *k = q->waiting; k; k = k->next)
        wanted += k->max - k->count;
    uint64_t generation = client_credit(u->client, span_str(q->queue), wanted);
    if (generation != q->generation)
        q->idle = false;
    q->generation = generation;
}

void takes_delivery(struct uplink *u, const struct client_delivery *d)
{
    struct consumed_queue *q = find(u, d->queue);
    struct take *k = q ? first_alive(u, q) : NULL;
    if (!k) {
        struct settle back = { .kind = SETTLE_RELEASE, .first = d->delivery, .count = 1 };
        client_settle(u->client, span_str(d->queue), d->consumer_epoch, &back);
        return;
    }
    q->fence = d->fence;
    collect(u, q, k, d);
    if (!is_full(u, k))
        return;
    bool early = k->count < k->max;
    finish(u, q, k, REASON_ok);
    if (early)
        update_credit(u, q);
}

void takes_idle(struct uplink *u, const char *queue, uint64_t generation)
{
    struct consumed_queue *q = find(u, queue);
    if (!q || generation != q->generation)
        return;
    q->idle = true;
    struct take *k, *next;
    DL_FOREACH_SAFE (q->waiting, k, next) {
        if (k->once || k->count)
            finish(u, q, k, REASON_ok);
    }
}

/* ------------------------------------------------------------------ time */

static void end_overdue(struct uplink *u, struct consumed_queue *q)
{
    struct take *k, *next;
    bool attached = client_is_attached(u->client);
    DL_FOREACH_SAFE (q->waiting, k, next) {
        if (q->idle && (k->count || k->once))
            finish(u, q, k, REASON_ok);
        else if (k->deadline.ns <= u->now.mono.ns)
            finish(u, q, k, k->count || attached ? REASON_ok : REASON_unavailable);
    }
}

static bool is_unused(const struct consumed_queue *q)
{
    return !q->waiting && q->leases == 0;
}

/* A contended turn is given up as soon as it is unused: a single `curl` must not keep other sidecars from consuming. */
static bool should_leave(const struct uplink *u, const struct consumed_queue *q)
{
    if (!is_unused(q))
        return false;
    return u->draining || !q->consuming || (q->contended && q->state == TURN_ACTIVE) ||
           mono_since_ms(u->now.mono, q->unused_since) >= u->config.turn_idle_ms;
}

static void leave(struct uplink *u, struct consumed_queue *q)
{
    if (q->consuming)
        client_leave(u->client, span_str(q->queue));
    HASH_DEL(u->queues, q);
    free(q);
}

void takes_tick(struct uplink *u)
{
    struct consumed_queue *q, *next;
    leases_prune(u);
    HASH_ITER (hh, u->queues, q, next) {
        update_credit(u, q); /* first, so that a new take is not answered by an Idle of earlier credit */
        end_overdue(u, q);
        if (!is_unused(q))
            q->unused_since = MONO_NEVER;
        else if (q->unused_since.ns == MONO_NEVER.ns)
            q->unused_since = u->now.mono;
        if (should_leave(u, q))
            leave(u, q);
        else
            update_credit(u, q);
    }
}

mono_t takes_due(const struct uplink *u)
{
    mono_t due = u->leases ? u->next_prune : MONO_NEVER;
    for (const struct consumed_queue *q = u->queues; q; q = q->hh.next) {
        if (q->unused_since.ns != MONO_NEVER.ns)
            due = mono_min(due, mono_add_ms(q->unused_since, u->config.turn_idle_ms));
        for (const struct take *k = q->waiting; k; k = k->next)
            due = mono_min(due, k->deadline);
    }
    return due;
}

/* ------------------------------------------------------------------ drain, forget, free */

void takes_drain(struct uplink *u)
{
    struct consumed_queue *q, *next;
    HASH_ITER (hh, u->queues, q, next)
        fail_all(u, q, REASON_draining);
    takes_tick(u);
}

bool uplink_is_standby(const struct uplink *u, const char *queue)
{
    const struct consumed_queue *q = NULL;
    HASH_FIND_STR(u->queues, queue, q);
    return q && q->state == TURN_STANDBY;
}

bool takes_are_drained(const struct uplink *u)
{
    return u->queues == NULL;
}

void takes_forget(struct uplink *u, void *request)
{
    struct consumed_queue *q, *next_q;
    HASH_ITER (hh, u->queues, q, next_q) {
        struct take *k, *next;
        DL_FOREACH_SAFE (q->waiting, k, next) {
            if (k->request != request)
                continue;
            give_back(u, k);
            DL_DELETE(q->waiting, k);
            take_free(k);
        }
    }
}

void takes_free(struct uplink *u)
{
    struct consumed_queue *q, *next;
    HASH_ITER (hh, u->queues, q, next) {
        leases_void(u, q);
        while (q->waiting) {
            struct take *k = q->waiting;
            DL_DELETE(q->waiting, k);
            take_free(k);
        }
        HASH_DEL(u->queues, q);
        free(q);
    }
}
