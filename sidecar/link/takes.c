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

static struct taking *find(struct uplink *u, const char *queue)
{
    struct taking *t = NULL;
    HASH_FIND_STR(u->takings, queue, t);
    return t;
}

static struct taking *find_or_add(struct uplink *u, const char *queue)
{
    struct taking *t = find(u, queue);
    if (t)
        return t;
    t = xcalloc(1, sizeof *t);
    snprintf(t->queue, sizeof t->queue, "%s", queue);
    t->unused_since = MONO_NEVER;
    HASH_ADD_STR(u->takings, queue, t);
    return t;
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

static void finish(struct uplink *u, struct taking *t, struct take *k, enum reason reason)
{
    DL_DELETE(t->waiting, k);
    struct api_taken *events = xcalloc(k->count + 1u, sizeof *events);
    for (uint32_t i = 0; i < k->count; i++) {
        const struct taken_at *e = &k->events[i];
        events[i] = (struct api_taken){ e->sequence, e->attempt, at(k, e->receipt, e->receipt_size),
                                        at(k, e->event, e->event_size), e->lease_ms };
    }
    struct uplink_taken taken = {
        .events = events,
        .count = k->count,
        .standby = t->state == TURN_STANDBY,
        .consumer_epoch = t->state == TURN_ACTIVE ? (t->fence > t->epoch ? t->fence : t->epoch) : 0,
        .reason = reason,
    };
    u->taken_events += k->count;
    k->by->taken(k->request, &taken);
    free(events);
    take_free(k);
}

static void fail_all(struct uplink *u, struct taking *t, enum reason reason)
{
    while (t->waiting) {
        give_back(u, t->waiting);
        finish(u, t, t->waiting, reason);
    }
}

/* The first take whose client is still connected: events given to one that is gone would stay leased until the lease
 * ends. */
static struct take *first_alive(struct uplink *u, struct taking *t)
{
    while (t->waiting && t->waiting->count == 0 && !t->waiting->by->alive(t->waiting->request))
        finish(u, t, t->waiting, REASON_ok);
    return t->waiting;
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
    struct taking *t = find_or_add(u, queue);
    k->by = by;
    k->request = request;
    k->max = max;
    k->once = wait_ms == 0;
    k->deadline = mono_add_ms(now.mono, k->once ? ONCE_MS : wait_ms);
    DL_APPEND(t->waiting, k);
    if (u->draining || (k->once && !client_is_attached(u->client))) {
        finish(u, t, k, u->draining ? REASON_draining : REASON_unavailable);
        return;
    }
    t->unused_since = MONO_NEVER;
    if (!t->consuming)
        client_consume(u->client, span_str(queue));
    t->consuming = true;
    if (k->once && t->state == TURN_STANDBY)
        finish(u, t, k, REASON_ok);
}

/* ------------------------------------------------------------------ from the broker */

void takes_turn(struct uplink *u, const char *queue, enum turn_state state, uint64_t epoch, bool contended,
                enum reason reason)
{
    struct taking *t = find(u, queue);
    if (!t)
        return;
    if (state != TURN_ACTIVE || t->epoch != epoch) { /* a new turn, or none: leases of the earlier one are void */
        leases_void(u, t);
        for (struct take *k = t->waiting; k; k = k->next) {
            k->count = 0;
            buf_clear(&k->bytes);
        }
        t->idle = false;
    }
    t->state = state;
    t->epoch = state == TURN_ACTIVE ? epoch : 0;
    t->contended = contended;
    if (state == TURN_NONE) {
        t->consuming = false;
        fail_all(u, t, reason);
        return;
    }
    struct take *k, *next;
    DL_FOREACH_SAFE (t->waiting, k, next) {
        if (state == TURN_STANDBY && k->once)
            finish(u, t, k, REASON_ok);
    }
}

static void collect(struct uplink *u, struct taking *t, struct take *k, const struct client_delivery *d)
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
    leases_add(u, t, k, at(k, e->receipt, e->receipt_size), d->lease_ms);
}

static bool is_full(const struct uplink *u, const struct take *k)
{
    return k->count == k->max || k->bytes.size >= u->config.take_bytes;
}

/* Tells the broker how many events are wanted. Lowered at once when a take ends early, so that events already on their
 * way beyond the new credit are returned. */
static void update_credit(struct uplink *u, struct taking *t)
{
    uint64_t wanted = 0;
    if (!t->consuming)
        return;
    for (const struct take *k = t->waiting; k; k = k->next)
        wanted += k->max - k->count;
    uint64_t generation = client_credit(u->client, span_str(t->queue), wanted);
    if (generation != t->generation)
        t->idle = false;
    t->generation = generation;
}

void takes_delivery(struct uplink *u, const struct client_delivery *d)
{
    struct taking *t = find(u, d->queue);
    struct take *k = t ? first_alive(u, t) : NULL;
    if (!k) {
        struct settle back = { .kind = SETTLE_RELEASE, .first = d->delivery, .count = 1 };
        client_settle(u->client, span_str(d->queue), d->consumer_epoch, &back);
        return;
    }
    t->fence = d->fence;
    collect(u, t, k, d);
    if (!is_full(u, k))
        return;
    bool early = k->count < k->max;
    finish(u, t, k, REASON_ok);
    if (early)
        update_credit(u, t);
}

void takes_idle(struct uplink *u, const char *queue, uint64_t generation)
{
    struct taking *t = find(u, queue);
    if (!t || generation != t->generation)
        return;
    t->idle = true;
    struct take *k, *next;
    DL_FOREACH_SAFE (t->waiting, k, next) {
        if (k->once || k->count)
            finish(u, t, k, REASON_ok);
    }
}

/* ------------------------------------------------------------------ time */

static void end_overdue(struct uplink *u, struct taking *t)
{
    struct take *k, *next;
    bool attached = client_is_attached(u->client);
    DL_FOREACH_SAFE (t->waiting, k, next) {
        if (t->idle && (k->count || k->once))
            finish(u, t, k, REASON_ok);
        else if (k->deadline.ns <= u->now.mono.ns)
            finish(u, t, k, k->count || attached ? REASON_ok : REASON_unavailable);
    }
}

static bool is_unused(const struct taking *t)
{
    return !t->waiting && t->leases == 0;
}

/* A contended turn is given up as soon as it is unused: a single `curl` must not keep other sidecars from consuming. */
static bool should_leave(const struct uplink *u, const struct taking *t)
{
    if (!is_unused(t))
        return false;
    return u->draining || !t->consuming || (t->contended && t->state == TURN_ACTIVE) ||
           mono_since_ms(u->now.mono, t->unused_since) >= u->config.turn_idle_ms;
}

static void leave(struct uplink *u, struct taking *t)
{
    if (t->consuming)
        client_leave(u->client, span_str(t->queue));
    HASH_DEL(u->takings, t);
    free(t);
}

void takes_tick(struct uplink *u)
{
    struct taking *t, *next;
    leases_prune(u);
    HASH_ITER (hh, u->takings, t, next) {
        update_credit(u, t); /* first, so that a new take is not answered by an Idle of earlier credit */
        end_overdue(u, t);
        if (!is_unused(t))
            t->unused_since = MONO_NEVER;
        else if (t->unused_since.ns == MONO_NEVER.ns)
            t->unused_since = u->now.mono;
        if (should_leave(u, t))
            leave(u, t);
        else
            update_credit(u, t);
    }
}

mono_t takes_due(const struct uplink *u)
{
    mono_t due = u->leases ? u->next_prune : MONO_NEVER;
    for (const struct taking *t = u->takings; t; t = t->hh.next) {
        if (t->unused_since.ns != MONO_NEVER.ns)
            due = mono_min(due, mono_add_ms(t->unused_since, u->config.turn_idle_ms));
        for (const struct take *k = t->waiting; k; k = k->next)
            due = mono_min(due, k->deadline);
    }
    return due;
}

/* ------------------------------------------------------------------ drain, forget, free */

void takes_drain(struct uplink *u)
{
    struct taking *t, *next;
    HASH_ITER (hh, u->takings, t, next)
        fail_all(u, t, REASON_draining);
    takes_tick(u);
}

bool uplink_is_standby(const struct uplink *u, const char *queue)
{
    const struct taking *t = NULL;
    HASH_FIND_STR(u->takings, queue, t);
    return t && t->state == TURN_STANDBY;
}

bool takes_are_drained(const struct uplink *u)
{
    return u->takings == NULL;
}

void takes_forget(struct uplink *u, void *request)
{
    struct taking *t, *next_t;
    HASH_ITER (hh, u->takings, t, next_t) {
        struct take *k, *next;
        DL_FOREACH_SAFE (t->waiting, k, next) {
            if (k->request != request)
                continue;
            give_back(u, k);
            DL_DELETE(t->waiting, k);
            take_free(k);
        }
    }
}

void takes_free(struct uplink *u)
{
    struct taking *t, *next;
    HASH_ITER (hh, u->takings, t, next) {
        leases_void(u, t);
        while (t->waiting) {
            struct take *k = t->waiting;
            DL_DELETE(t->waiting, k);
            take_free(k);
        }
        HASH_DEL(u->takings, t);
        free(t);
    }
}
