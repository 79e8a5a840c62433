/* Consuming: turns, credit, deliveries and settlements. Everything is kept as state that the next flush writes, so
 * that a new session only needs to be told the state again. (Settling by receipt: client_receipts.c.) */
#include "clients/core/client_priv.h"

#include "base/mutation.h"
#include "base/xalloc.h"

#include <stdlib.h>

static struct consumption *find(struct client *c, struct span name)
{
    struct consumption *k = c->last_consumption;
    bool own = k && (const char *)name.data == k->name && name.size <= NAME_MAX_SIZE && !k->name[name.size];
    if (own || (k && span_equal(span_str(k->name), name))) /* own: the name pointer is the one in deliveries */
        return k;
    HASH_FIND(hh, c->consumptions, name.data, (unsigned)name.size, k);
    if (k)
        c->last_consumption = k;
    return k;
}

static struct consumption *of(struct client *c, struct span name)
{
    struct consumption *k = find(c, name);
    if (k || name.size > NAME_MAX_SIZE)
        return k;
    k = xcalloc(1, sizeof *k);
    memcpy(k->name, name.data, name.size);
    HASH_ADD_KEYPTR(hh, c->consumptions, k->name, (unsigned)name.size, k);
    return k;
}

/* Removes the first ones: they were sent, or are void. */
static void drop_first_settles(struct consumption *k, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (k->settles[i].error.size)
            free((void *)(uintptr_t)k->settles[i].error.data);
    }
    k->settle_count -= count;
    if (k->settle_count)
        memmove(k->settles, k->settles + count, k->settle_count * sizeof *k->settles);
}

static void drop_settles(struct consumption *k)
{
    drop_first_settles(k, k->settle_count);
}

static void reset(struct consumption *k)
{
    k->told = k->leave = false;
    k->state = TURN_NONE;
    k->epoch = 0;
    k->received = 0;
    k->released = 0;
    k->generation_told = 0;
    drop_settles(k);
}

void client_consume(struct client *c, struct span queue)
{
    struct consumption *k = of(c, queue);
    if (k && !k->wanted) {
        k->wanted = true;
        k->number++;
        k->limit = 0;
    }
}

void client_leave(struct client *c, struct span queue)
{
    struct consumption *k = find(c, queue);
    if (!k || !k->wanted)
        return;
    bool told = k->told;
    bool leave = k->leave;
    reset(k);
    k->wanted = false;
    k->leave = told || leave;
}

uint64_t client_credit(struct client *c, struct span queue, uint64_t wanted)
{
    struct consumption *k = find(c, queue);
    if (!k || !k->wanted)
        return 0;
    if (k->limit != k->received + wanted) {
        k->limit = k->received + wanted;
        k->generation++;
    }
    return k->generation;
}

/* ------------------------------------------------------------------ settling */

static bool says(const struct settle *s)
{
    return s->status || s->error.size;
}

static struct span own_text(struct span text)
{
    uint8_t *copy = text.size ? xmalloc(text.size) : NULL;
    if (copy)
        memcpy(copy, text.data, text.size);
    return span_of(copy, text.size);
}

static void add_settle(struct consumption *k, const struct settle *s)
{
    if (k->settle_count) {
        struct settle *last = &k->settles[k->settle_count - 1];
        if (last->kind == s->kind && last->ms == s->ms && last->first + last->count == s->first && !says(last) &&
            !says(s)) {
            last->count += s->count;
            return;
        }
    }
    if (k->settle_count == k->settle_capacity) {
        k->settle_capacity = k->settle_capacity ? k->settle_capacity * 2 : 16;
        k->settles = xrealloc(k->settles, k->settle_capacity * sizeof *k->settles);
    }
    k->settles[k->settle_count] = *s;
    k->settles[k->settle_count++].error = own_text(s->error);
}

/* Releases a delivery. All later ones are released too, until the broker has answered. */
static void give_back(struct consumption *k, const struct settle *release)
{
    uint64_t last = release->first + release->count - 1;
    k->released = last > k->released ? last : k->released;
    add_settle(k, release);
}

/* Acks may linger; other settlements are urgent, and end the linger. */
static void begin_to_wait(struct client *c, enum settle_kind kind)
{
    if (kind == SETTLE_ACK)
        client_linger(c);
    else
        client_end_linger(c);
}

void client_settle(struct client *c, struct span queue, uint64_t consumer_epoch, const struct settle *s)
{
    struct consumption *k = find(c, queue);
    bool current = k && k->wanted && k->epoch == consumer_epoch && consumer_epoch != 0;
    if (current)
        begin_to_wait(c, s->kind);
    if (current && s->kind == SETTLE_RELEASE)
        give_back(k, s);
    else if (current)
        add_settle(k, s);
    else if (k)
        c->handler->settled(c->ctx, k->name, consumer_epoch, s->first, s->count, SETTLED_EXPIRED);
}

void client_ack(struct client *c, const struct client_delivery *d)
{
    struct consumption *k = c->last_consumption;
    bool current = k && k->name == d->queue && k->wanted && k->epoch == d->consumer_epoch && k->epoch != 0;
    struct settle *last = current && k->settle_count ? &k->settles[k->settle_count - 1] : NULL;
    if (!last || last->kind != SETTLE_ACK || last->first + last->count != d->delivery || last->ms || says(last)) {
        client_settle(c, span_str(d->queue), d->consumer_epoch,
                      &(struct settle){ .kind = SETTLE_ACK, .first = d->delivery, .count = 1 });
        return;
    }
    begin_to_wait(c, SETTLE_ACK);
    last->count++;
}

/* ------------------------------------------------------------------ from the broker */

bool consume_turn(struct client *c, const struct body *b)
{
    struct consumption *k = find(c, b->name);
    if (!k || !k->wanted || (b->u.turn.consumption != k->number && !MUTATED(ignore_consumption)))
        return true; /* of a consumption that is over */
    uint64_t epoch = b->u.turn.consumer_epoch;
    if (k->epoch != epoch) /* releases of an earlier turn are answered under that one */
        k->released = 0;
    k->epoch = b->u.turn.state == TURN_ACTIVE ? epoch : 0;
    k->state = b->u.turn.state;
    if (k->state == TURN_NONE) {
        reset(k);
        k->wanted = false;
    }
    c->handler->turn(c->ctx, k->name, b->u.turn.state, epoch, b->u.turn.contended, (enum reason)b->u.turn.reason);
    return true;
}

/* Does this belong to the current turn? The program may leave, and consume again, from within a delivery. */
static bool is_current(const struct consumption *k, uint64_t consumer_epoch)
{
    return k->wanted && k->epoch == consumer_epoch;
}

/* Delivers one event, or releases it without showing it when it is above the limit. Everything after it is released
 * too, until the broker has taken it back: the limit may have been raised meanwhile, and later events must not
 * overtake it. */
static void hand_over(struct client *c, struct consumption *k, struct client_delivery *d)
{
    if (!is_current(k, d->consumer_epoch))
        return; /* left meanwhile: the broker takes all of it back by itself */
    k->received = d->delivery;
    if (d->delivery > k->limit || k->released) {
        client_end_linger(c);
        give_back(k, &(struct settle){ .kind = SETTLE_RELEASE, .first = d->delivery, .count = 1 });
        return;
    }
    c->stats.delivered++;
    c->handler->delivery(c->ctx, d);
}

bool consume_deliver(struct client *c, struct body *b)
{
    struct consumption *k = find(c, b->name);
    if (!k || !is_current(k, b->u.deliver.consumer_epoch) ||
        (k->number != b->u.deliver.consumption && !MUTATED(ignore_consumption)))
        return true;
    struct batch batch;
    enum frame_status status;
    while ((status = deliver_next(b, &batch)) == FRAME_OK) {
        struct client_delivery d = {
            .queue = k->name,
            .consumer_epoch = b->u.deliver.consumer_epoch,
            .fence = b->u.deliver.fence ? b->u.deliver.fence : b->u.deliver.consumer_epoch,
            .lease_ms = b->u.deliver.lease_ms,
            .attempt = batch.attempt,
            .receipt = batch.receipt,
        };
        if (is_current(k, d.consumer_epoch) && batch.first_delivery != k->received + 1)
            return false;
        for (uint64_t i = 0; (status = batch_next(&batch, &d.event)) == FRAME_OK; i++) {
            d.delivery = batch.first_delivery + i;
            d.sequence = batch.first_sequence + i;
            d.receipt_index = i;
            hand_over(c, k, &d);
        }
        if (status == FRAME_BAD)
            return false;
    }
    return status == FRAME_END;
}

bool consume_settled(struct client *c, struct body *b)
{
    struct consumption *k = find(c, b->name);
    struct settled_run run;
    enum frame_status status;
    while ((status = settled_next(b, &run)) == FRAME_OK) {
        if (k && b->u.settled.consumer_epoch == k->epoch && run.first <= k->released &&
            k->released < run.first + run.count)
            k->released = 0;
        if (k)
            c->handler->settled(c->ctx, k->name, b->u.settled.consumer_epoch, run.first, run.count, run.result);
    }
    return status == FRAME_END;
}

void consume_idle(struct client *c, const struct body *b)
{
    struct consumption *k = find(c, b->name);
    if (k && k->wanted)
        c->handler->idle(c->ctx, k->name, b->u.idle.generation);
}

/* ------------------------------------------------------------------ writing */

/* As several settlements if there are more deliveries than one may cover. */
static void write_settle(struct client *c, struct settle s)
{
    for (; s.count > SETTLE_COUNT_MAX; s.first += SETTLE_COUNT_MAX, s.count -= SETTLE_COUNT_MAX) {
        struct settle part = s;
        part.count = SETTLE_COUNT_MAX;
        frame_add_settle(&c->out, &part);
    }
    frame_add_settle(&c->out, &s);
}

/* The write functions return false when the link has no room for everything; the next flush continues there. A frame
 * larger than the broker accepts would be sent again for ever, so each is bounded. */
static bool write_settles(struct client *c, struct consumption *k)
{
    uint32_t written = 0;
    while (written < k->settle_count && client_next_frame(c)) {
        struct open_body open = frame_begin_ack(&c->out, span_str(k->name), k->epoch);
        for (; written < k->settle_count && c->out.size < c->config.frame_bytes; written++)
            write_settle(c, k->settles[written]);
        frame_end(&c->out, open);
    }
    drop_first_settles(k, written);
    return k->settle_count == 0;
}

static bool write_one(struct client *c, struct consumption *k, bool wait)
{
    if (k->leave)
        frame_add_leave(&c->out, span_str(k->name));
    k->leave = false;
    if (!k->wanted)
        return true;
    if (!k->told)
        frame_add_consume(&c->out, span_str(k->name), k->number);
    k->told = true;
    wait = wait && k->generation_told == k->generation; /* otherwise a frame is sent anyway */
    if (!wait && !write_settles(c, k))
        return false;
    if (k->generation_told != k->generation)
        frame_add_credit(&c->out, span_str(k->name), k->generation, k->limit);
    k->generation_told = k->generation;
    return true;
}

bool consume_write(struct client *c, bool wait)
{
    for (struct consumption *k = c->consumptions; k; k = k->hh.next) {
        if (!client_next_frame(c) || !write_one(c, k, wait)) /* a new session writes all of them at once */
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ sessions */

void consume_new_session(struct client *c)
{
    for (struct consumption *k = c->consumptions; k; k = k->hh.next) {
        uint64_t wanted = k->limit > k->received ? k->limit - k->received : 0;
        bool active = k->state == TURN_ACTIVE;
        uint64_t epoch = k->epoch;
        reset(k);
        if (!k->wanted)
            continue;
        k->limit = wanted;
        k->generation++;
        if (active)
            c->handler->turn(c->ctx, k->name, TURN_REVOKED, epoch, false, REASON_unknown_session);
    }
}

void consume_free(struct client *c)
{
    struct consumption *k, *next_k;
    HASH_ITER (hh, c->consumptions, k, next_k) {
        HASH_DEL(c->consumptions, k);
        drop_settles(k);
        free(k->settles);
        free(k);
    }
}
