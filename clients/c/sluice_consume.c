/* The consuming half of the library: subscriptions, their unsettled deliveries, and the credit that bounds those.
 *
 * A token combines the delivery's number with the subscription's era, which every turn raises. So a token of an earlier
 * turn or session settles nothing, even when delivery numbers repeat. */
#include "clients/c/sluice_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define DEFAULT_CREDIT 256u
#define ERA_SHIFT      40
/* How often a queue that does not exist is asked for again. */
#define RETRY_MS 1000

/* ------------------------------------------------------------------ callers */

static struct sluice_sub *find_locked(struct sluice *s, const char *queue)
{
    struct sluice_sub *sub;
    DL_FOREACH (s->subs, sub) {
        if (!sub->done && strcmp(sub->queue, queue) == 0)
            return sub;
    }
    return NULL;
}

struct command *sub_command_of(struct sluice_sub *sub, enum command_kind kind, bool *wake)
{
    struct command *c = sub->done ? NULL : sluice_command(sub->connection, kind, wake);
    if (c)
        c->sub = sub;
    return c;
}

static void tell_thread(struct sluice *s, struct sluice_sub *sub, enum command_kind kind, uint64_t token, uint32_t ms)
{
    bool wake = false;
    pthread_mutex_lock(&s->lock);
    struct command *c = sub_command_of(sub, kind, &wake);
    if (c) {
        c->own = sluice_on_thread(s);
        c->token = token;
        c->ms = ms;
    }
    pthread_mutex_unlock(&s->lock);
    if (wake)
        sluice_wake(s);
}

/* Reuses an ended subscription, in a new era: the application may still settle through it. The lock is held. */
static struct sluice_sub *new_sub(struct sluice *s)
{
    struct sluice_sub *sub = s->ended_subs;
    if (sub) {
        DL_DELETE(s->ended_subs, sub);
        sub->running = sub->ended = sub->again = sub->done = false;
        sub->epoch = sub->granted = 0;
        sub->era++;
        return sub;
    }
    sub = xcalloc(1, sizeof *sub);
    sub->connection = s;
    return sub;
}

struct sluice_sub *sluice_subscribe(struct sluice *s, const char *queue, uint32_t credit, sluice_event_fn *on_event,
                                    void *context)
{
    if (!s || !queue || !name_valid(span_str(queue)) || !on_event)
        return NULL;
    pthread_mutex_lock(&s->lock);
    bool taken = s->stop || find_locked(s, queue); /* a connection consumes a queue once */
    struct sluice_sub *sub = taken ? NULL : new_sub(s);
    if (sub) {
        strcpy(sub->queue, queue);
        sub->credit = credit ? credit : DEFAULT_CREDIT;
        sub->on_event = on_event;
        sub->context = context;
        sub->retry = MONO_NEVER;
        DL_APPEND(s->subs, sub);
    }
    pthread_mutex_unlock(&s->lock);
    if (sub)
        tell_thread(s, sub, COMMAND_SUBSCRIBE, 0, 0);
    return sub;
}

void sluice_ack(struct sluice_sub *sub, uint64_t token)
{
    tell_thread(sub->connection, sub, COMMAND_ACK, token, 0);
}

void sluice_nack(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms)
{
    tell_thread(sub->connection, sub, COMMAND_NACK, token, delay_ms);
}

void sluice_defer(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms)
{
    tell_thread(sub->connection, sub, COMMAND_DEFER, token, delay_ms);
}

void sluice_drop(struct sluice_sub *sub, uint64_t token)
{
    tell_thread(sub->connection, sub, COMMAND_DROP, token, 0);
}

static enum settle_kind kind_of(enum command_kind kind)
{
    switch (kind) {
    case COMMAND_ACK: return SETTLE_ACK;
    case COMMAND_DEFER: return SETTLE_DEFER;
    case COMMAND_DROP: return SETTLE_DROP;
    case COMMAND_EXTEND: return SETTLE_EXTEND;
    default: return SETTLE_NACK;
    }
}

static void free_unsettled(struct sluice_sub *sub)
{
    struct unsettled *u, *next;
    HASH_ITER (hh, sub->unsettled, u, next) {
        HASH_DEL(sub->unsettled, u);
        free(u);
    }
}

/* Keeps an ended subscription: the application may still settle through it. The lock is held. */
static void retire(struct sluice *s, struct sluice_sub *sub)
{
    free_unsettled(sub);
    DL_DELETE(s->subs, sub);
    DL_APPEND(s->ended_subs, sub);
}

void sluice_unsubscribe(struct sluice_sub *sub)
{
    if (!sub)
        return;
    struct sluice *s = sub->connection;
    if (sluice_on_thread(s)) { /* the thread retires it when it carries out the command */
        tell_thread(s, sub, COMMAND_UNSUBSCRIBE, 0, 0);
        sub->ended = true;
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->waiting++;
    pthread_mutex_unlock(&s->lock);
    tell_thread(s, sub, COMMAND_UNSUBSCRIBE, 0, 0);
    pthread_mutex_lock(&s->lock);
    while (!sub->done)
        pthread_cond_wait(&s->changed, &s->lock);
    retire(s, sub);
    sluice_waited(s);
    pthread_mutex_unlock(&s->lock);
}

/* ------------------------------------------------------------------ the thread: commands */

static uint64_t token_of(const struct sluice_sub *sub, uint64_t delivery)
{
    return sub->era << ERA_SHIFT | (delivery & ((UINT64_C(1) << ERA_SHIFT) - 1));
}

static int by_deadline(const struct unsettled *a, const struct unsettled *b)
{
    return a->deadline.ns < b->deadline.ns ? -1 : a->deadline.ns > b->deadline.ns;
}

/* Keeps the list by deadline: leases end in the order they began, except extended ones. */
static void add_unsettled(struct sluice_sub *sub, struct unsettled *u)
{
    const UT_hash_table *table = sub->unsettled ? sub->unsettled->hh.tbl : NULL;
    const struct unsettled *last = table ? ELMT_FROM_HH(table, table->tail) : NULL;
    if (last && mono_before(u->deadline, last->deadline))
        HASH_ADD_INORDER(hh, sub->unsettled, token, sizeof u->token, u, by_deadline);
    else
        HASH_ADD(hh, sub->unsettled, token, sizeof u->token, u);
}

static void settle(struct sluice *s, struct sluice_sub *sub, const struct command *c)
{
    struct unsettled *u;
    HASH_FIND(hh, sub->unsettled, &c->token, sizeof c->token, u);
    if (!u || !sub->running)
        return; /* too late, or twice */
    struct settle word = {
        .kind = kind_of(c->kind),
        .first = u->delivery,
        .count = 1,
        .ms = c->ms,
        .status = c->status,
        .error = span_of(s->taken.bytes.data + c->at, c->text_size),
    };
    HASH_DEL(sub->unsettled, u);
    if (c->kind == COMMAND_EXTEND) {
        u->deadline = mono_add_ms(s->now.mono, c->ms < LEASE_MAX_MS ? c->ms : LEASE_MAX_MS); /* the broker's, too */
        add_unsettled(sub, u);
    } else {
        free(u);
    }
    client_settle(s->client, span_str(sub->queue), sub->epoch, &word);
}

static void ask(struct sluice *s, struct sluice_sub *sub)
{
    sub->retry = MONO_NEVER;
    sub->granted = 0;
    client_consume(s->client, span_str(sub->queue));
}

static void take_back(struct commands *q, const struct sluice_sub *sub)
{
    for (size_t i = 0; i < q->count; i++) {
        if (q->items[i].sub == sub)
            q->items[i].sub = NULL;
    }
}

/* Ends a subscription and signals whoever waits for it. `own`: nobody waits, the thread retires it. */
static void end(struct sluice *s, struct sluice_sub *sub, bool own)
{
    /* Acks must be sent before the queue is left. */
    client_end_linger(s->client);
    client_flush(s->client, s->now);
    client_leave(s->client, span_str(sub->queue));
    sub->running = false;
    if (s->last_sub == sub)
        s->last_sub = NULL;
    pthread_mutex_lock(&s->lock);
    sub->done = true;
    take_back(&s->taken, sub); /* settlements queued meanwhile are too late */
    take_back(&s->queue, sub);
    if (own)
        retire(s, sub);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void sub_command(struct sluice *s, const struct command *c)
{
    if (!c->sub)
        return; /* it ended meanwhile */
    switch (c->kind) {
    case COMMAND_SUBSCRIBE:
        c->sub->running = true;
        ask(s, c->sub);
        break;
    case COMMAND_UNSUBSCRIBE: end(s, c->sub, c->own); break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_DEFER:
    case COMMAND_EXTEND:
    case COMMAND_DROP: settle(s, c->sub, c); break;
    case COMMAND_PUBLISH: break;
    }
}

/* ------------------------------------------------------------------ the thread: events */

static struct sluice_sub *running(struct sluice *s, const char *queue)
{
    pthread_mutex_lock(&s->lock);
    struct sluice_sub *sub = find_locked(s, queue);
    pthread_mutex_unlock(&s->lock);
    return sub && sub->running ? sub : NULL;
}

static void nack_now(struct sluice *s, const struct client_delivery *d)
{
    struct settle word = { .kind = SETTLE_NACK, .first = d->delivery, .count = 1 };
    client_settle(s->client, span_str(d->queue), d->consumer_epoch, &word);
}

static void keep_unsettled(struct sluice *s, struct sluice_sub *sub, const struct client_delivery *d, uint64_t token)
{
    struct unsettled *u = xmalloc(sizeof *u);
    u->token = token;
    u->delivery = d->delivery;
    u->deadline = mono_add_ms(s->now.mono, d->lease_ms);
    add_unsettled(sub, u);
}

void sub_delivery(struct sluice *s, const struct client_delivery *d)
{
    struct sluice_sub *sub = s->last_sub;
    if (!sub || s->last_queue != d->queue) {
        sub = s->last_sub = running(s, d->queue);
        s->last_queue = d->queue;
    }
    if (!sub || !sub->running || sub->ended)
        return; /* unsubscribed: the broker takes it back */
    if (sub->granted)
        sub->granted--;
    struct sluice_delivery delivery = {
        .queue = sub->queue,
        .sequence = d->sequence,
        .attempt = d->attempt,
        .token = token_of(sub, d->delivery),
        .consumer_epoch = d->fence,
        .lease_ms = d->lease_ms,
        .sub = sub,
    };
    if (!sluice_decode(s, d->event, &delivery))
        nack_now(s, d); /* not a CloudEvent: another consumer may know what to do with it */
    else if (sub->on_event(sub->context, &delivery))
        client_ack(s->client, d);
    else
        keep_unsettled(s, sub, d,
                       delivery.token); /* a sluice_ack made in the callback is queued, and comes after this */
}

void sub_turn(struct sluice *s, const char *queue, enum turn_state state, uint64_t epoch)
{
    struct sluice_sub *sub = running(s, queue);
    if (!sub)
        return;
    if (state == TURN_NONE)
        sub->retry = mono_add_ms(s->now.mono, RETRY_MS);
    if (state == TURN_ACTIVE && epoch == sub->epoch)
        return; /* only the standby changed */
    sub->epoch = state == TURN_ACTIVE ? epoch : 0;
    sub->era++;
    sub->granted = 0;
    sub->again = true;
    free_unsettled(sub);
}

/* ------------------------------------------------------------------ the thread: once a turn */

/* Forgets deliveries whose lease has ended, which makes room: the event is redelivered under another number. */
static void expire(struct sluice_sub *sub, mono_t now)
{
    struct unsettled *u, *next;
    HASH_ITER (hh, sub->unsettled, u, next) {
        if (mono_before(now, u->deadline))
            break;
        HASH_DEL(sub->unsettled, u);
        free(u);
    }
}

static void grant(struct sluice *s, struct sluice_sub *sub)
{
    uint64_t used = HASH_COUNT(sub->unsettled), want = used < sub->credit ? sub->credit - used : 0;
    uint64_t step = sub->credit / 4 ? sub->credit / 4 : 1;
    if (want < sub->granted + step && !(sub->again && want > sub->granted))
        return; /* too little to be worth a message */
    sub->again = false;
    sub->granted = want;
    client_credit(s->client, span_str(sub->queue), want);
}

static mono_t care(struct sluice *s, struct sluice_sub *sub)
{
    if (sub->retry.ns <= s->now.mono.ns)
        ask(s, sub);
    expire(sub, s->now.mono);
    grant(s, sub);
    return mono_min(sub->retry, sub->unsettled ? sub->unsettled->deadline : MONO_NEVER);
}

mono_t sub_tick(struct sluice *s)
{
    mono_t due = MONO_NEVER;
    pthread_mutex_lock(&s->lock); /* callers change the list too; nothing below calls back */
    struct sluice_sub *sub;
    DL_FOREACH (s->subs, sub) {
        if (sub->running)
            due = mono_min(due, care(s, sub));
    }
    pthread_mutex_unlock(&s->lock);
    return due;
}

void sub_end_all(struct sluice *s)
{
    struct sluice_sub *sub;
    DL_FOREACH (s->subs, sub)
        sub->done = true;
}

void sub_free(struct sluice *s)
{
    struct sluice_sub *sub, *next;
    while (s->subs)
        retire(s, s->subs);
    DL_FOREACH_SAFE (s->ended_subs, sub, next)
        free(sub);
}
