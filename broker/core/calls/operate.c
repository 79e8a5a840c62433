/* Dispatches control calls on queues (declare, describe, list, delete, peek, explain, cancel, purge, redrive, pause,
 * resume, close, open), topics, subscriptions and the broker. Mutations' replies go into the reply cache
 * (reply_cache.c), so that a lost reply does not purge twice. */
#include "broker/core/calls/explain.h"
#include "broker/core/calls/subscriptions.h"
#include "broker/core/deliver/dead_letter.h"
#include "broker/core/deliver/doomed.h"
#include "broker/core/partition/partition.h"
#include "broker/core/topic/topic.h"

#define LIST_DEFAULT 100u
#define LIST_MOST    1000u

/* ------------------------------------------------------------------ describe and list */

static uint32_t count_active(const struct queue *q)
{
    uint32_t count = 0;
    for (const struct consumer *k = q->consumers; k; k = k->queue_next)
        count += k->epoch != 0;
    return count;
}

static void describe(const struct core *c, struct queue *q, struct queue_info *out)
{
    *out = (struct queue_info){
        .queue = q->name,
        .settings = q->settings,
        .managed = q->managed,
        .paused = q->paused,
        .closed = q->closed,
        .ready = q->ready,
        .in_flight = q->in_flight,
        .delayed = q->delayed,
        .dead = q->dead,
        .bytes = q->bytes,
        .oldest_age_ms = queue_oldest_ms(c, q),
        .waiting_publishers = q->waiting,
        .consumer = q->active ? q->active->session->name : "",
        .standbys = q->consumer_count - count_active(q),
        .active_consumers = count_active(q),
        .in_rate_milli = (uint64_t)(rate_read(&q->in_rate, c->now.mono) * 1000),
        .out_rate_milli = (uint64_t)(rate_read(&q->out_rate, c->now.mono) * 1000),
        .next_sequence = q->next_sequence,
        .ledger = q->ledger,
        .refused = q->refused,
        .redelivered = q->redelivered,
        .duplicates = q->duplicates,
        .dedup_evicted = q->dedup.evicted,
        .dead_letter_held = q->held + (q->schedule ? doomed_held(q->schedule) : 0),
    };
    memcpy(out->died, q->died, sizeof out->died);
    out->ledger.remaining = queue_remaining(q);
    redrive_describe(c, q, &out->redrive);
    if (q->partitions)
        partitions_describe(q, out);
}

static void list(struct core *c, const struct request *r, struct reply *reply, struct arena *arena)
{
    uint32_t limit = r->u.list.limit ? r->u.list.limit : LIST_DEFAULT;
    limit = limit < LIST_MOST ? limit : LIST_MOST;
    const char *prefix = r->u.list.prefix, *after = r->u.list.after;
    struct queue_info *queues = arena_alloc(arena, limit * sizeof *queues);
    size_t count = 0;
    reply->result = RESULT_LIST;
    reply->u.list.next = "";
    uint32_t i = queue_place(c, strcmp(after, prefix) > 0 ? after : prefix);
    if (i < c->queue_count && strcmp(c->by_name[i]->name, after) == 0)
        i++;
    for (; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        if (strncmp(q->name, prefix, strlen(prefix)) != 0)
            break;
        if (count == limit) {
            reply->u.list.next = queues[count - 1].queue;
            break;
        }
        describe(c, q, &queues[count++]);
    }
    reply->u.list.queues = queues;
    reply->u.list.count = count;
}

/* ------------------------------------------------------------------ dispatch */

/* One request while it is handled. */
struct call_context {
    const struct request *request;
    const struct route *route;
    struct reply reply;
    struct arena arena; /* owns what the reply points to */
    struct error why;
};

static void answer_queue(struct core *c, struct queue *q, struct call_context *ctx)
{
    struct queue_info *info = &ctx->reply.u.queue;
    ctx->reply.result = RESULT_QUEUE;
    describe(c, q, info);
    if (q->partitions)
        info->partitions = partitions_list(q, &ctx->arena, &info->partition_count);
}

static void refuse(struct reply *reply, enum reason why, const char *detail)
{
    reply->reason = why;
    reply->detail = detail;
    reply->result = RESULT_NONE;
}

static void declare(struct core *c, struct call_context *ctx)
{
    const struct request *r = ctx->request;
    struct reply *reply = &ctx->reply;
    struct queue *q;
    bool created;
    enum reason done = operate_declare(c, span_str(r->queue), &r->u.declare.settings, r->u.declare.only_create, false,
                                       &q, &created, &ctx->why);
    if (done != REASON_ok) {
        refuse(reply, done, ctx->why.text);
        return;
    }
    answer_queue(c, q, ctx);
    reply->u.queue.created = created;
}

static void refuse_bound(const struct queue *q, struct reply *reply, struct error *why)
{
    struct error names;
    topic_names_of(q, &names);
    error_set(why, "queue '%s' is bound to the topic%s %.300s; unbind it first, or delete it with force=true", q->name,
              q->topic_count == 1 ? "" : "s", names.text);
    refuse(reply, REASON_bound, why->text);
}

static void delete_queue(struct core *c, struct queue *q, const struct request *r, struct reply *reply,
                         struct error *why)
{
    const struct queue *source = dead_letter_source(c, q->name);
    if (q->managed)
        refuse(reply, REASON_managed, "the queue is managed by the broker's configuration file; remove it there first");
    else if (q->topic_count && !r->u.delete_.force)
        refuse_bound(q, reply, why);
    else if ((queue_remaining(q) || q->dead) && !r->u.delete_.force)
        refuse(reply, REASON_not_empty, "");
    else if (source && !r->u.delete_.force) {
        error_set(why,
                  "the dead letters of queue '%s' go to this queue; give that queue another dead_letter first, or "
                  "delete with force=true, which holds its dead letters back",
                  source->name);
        refuse(reply, REASON_conflict, why->text);
    } else
        queue_delete(c, q, REASON_deleted);
}

static void cancel(struct core *c, struct queue *q, const struct request *r, struct reply *reply, struct error *why)
{
    enum reason done = schedule_cancel(c, q, r->u.cancel.sequence);
    if (done == REASON_unknown_event)
        explain_absence(q, r->u.cancel.sequence, why);
    if (done == REASON_ok)
        reply->result = RESULT_CANCELLED;
    else
        refuse(reply, done, done == REASON_unknown_event ? why->text : "");
}

static void set_closed(struct core *c, struct queue *q, bool closed)
{
    q->closed = closed;
    if (closed)
        publish_refuse_all(c, q, NULL, REASON_closed);
    for (uint32_t i = 0; i < q->topic_count; i++) /* publishes to topics that wait for this queue are refused, too */
        topic_wake(c, q->topics[i]);
}

/* A call on an existing queue. */
static void call_queue(struct core *c, struct queue *q, struct call_context *ctx)
{
    const struct request *r = ctx->request;
    struct reply *reply = &ctx->reply;
    switch (r->call) {
    case CALL_DELETE: delete_queue(c, q, r, reply, &ctx->why); return;
    case CALL_PURGE:
        reply->result = RESULT_PURGED;
        reply->u.purged.purged = r->u.purge.dead ? dead_purge(c, q) : queue_purge(c, q, false);
        return;
    case CALL_CANCEL: cancel(c, q, r, reply, &ctx->why); return;
    case CALL_PAUSE:
    case CALL_RESUME: q->paused = r->call == CALL_PAUSE; break;
    case CALL_CLOSE:
    case CALL_OPEN: set_closed(c, q, r->call == CALL_CLOSE); break;
    default: break;
    }
    persist_queue(c, q);
    core_run_queue(c, q);
    answer_queue(c, q, ctx);
}

/* Fills ctx->reply; false: the call replies later by itself. */
static bool call(struct core *c, struct call_context *ctx)
{
    const struct request *r = ctx->request;
    struct reply *reply = &ctx->reply;
    switch (r->call) {
    case CALL_PING:
        reply->result = RESULT_PONG;
        reply->u.pong.version = c->config.version;
        reply->u.pong.uptime_ms = (uint64_t)mono_since_ms(c->now.mono, c->started);
        return true;
    case CALL_BROKER:
        reply->result = RESULT_BROKER;
        core_info(c, &reply->u.broker, c->now);
        if (c->config.usage)
            c->config.usage(&reply->u.broker.usage);
        return true;
    case CALL_LIST: list(c, r, reply, &ctx->arena); return true;
    case CALL_PUT_TOPIC:
    case CALL_DESCRIBE_TOPIC:
    case CALL_LIST_TOPICS:
    case CALL_DELETE_TOPIC:
    case CALL_BIND:
    case CALL_UNBIND: topic_call(c, r, reply, &ctx->arena, &ctx->why); return true;
    case CALL_PUT_SUBSCRIPTION:
    case CALL_DELETE_SUBSCRIPTION:
    case CALL_SUBSCRIPTIONS: subscription_request(c, r, reply, &ctx->arena, &ctx->why); return true;
    default: break;
    }
    struct queue *q = queue_find(c, span_str(r->queue));
    if (!name_valid(span_str(r->queue)))
        refuse(reply, REASON_invalid, "a queue's name is " NAME_RULE);
    else if (r->call == CALL_DECLARE)
        declare(c, ctx);
    else if (!q)
        refuse(reply, REASON_unknown_queue, topic_hint(c, r, &ctx->why));
    else if (r->call == CALL_PEEK)
        return peek_request(c, q, r, ctx->route, reply, &ctx->arena);
    else if (r->call == CALL_EXPLAIN)
        return explain_request(c, q, r, ctx->route, reply, &ctx->why);
    else if (r->call == CALL_REDRIVE)
        return redrive_request(c, q, r, ctx->route, reply, &ctx->why);
    else
        call_queue(c, q, ctx);
    return true;
}

/* ------------------------------------------------------------------ requests */

static bool mutates(enum call call)
{
    return call == CALL_DECLARE || call == CALL_DELETE || call == CALL_PURGE || call == CALL_PAUSE ||
           call == CALL_RESUME || call == CALL_CLOSE || call == CALL_OPEN || call == CALL_REDRIVE ||
           call == CALL_PUT_TOPIC || call == CALL_DELETE_TOPIC || call == CALL_BIND || call == CALL_UNBIND ||
           call == CALL_PUT_SUBSCRIPTION || call == CALL_DELETE_SUBSCRIPTION || call == CALL_CANCEL;
}

/* Caches the reply that was just sent. */
static void remember(struct core *c, const struct request *r)
{
    struct buf packed = { 0 };
    request_pack(r, &packed);
    reply_cache_add(c, r->id, buf_span(&packed), &c->effects[c->effect_count - 1]);
    buf_free(&packed);
}

void operate_request(struct core *c, const struct request *r, const struct route *route)
{
    bool mutation = mutates(r->call);
    if (mutation && reply_cache_repeat(c, r, route)) {
        if (c->disk) /* its first reply may still be waiting for the disk */
            durable_hold_reply(c, c->disk->ops->settled_ticket(c->disk));
        return;
    }
    struct call_context ctx = { .request = r, .route = route, .reply = { .id = r->id, .detail = "" } };
    arena_init(&ctx.arena, 4u << 20);
    bool answered = call(c, &ctx);
    if (answered)
        core_reply(c, route, &ctx.reply);
    arena_free(&ctx.arena);
    if (!answered)
        return;
    if (mutation && !token_is_zero(r->id))
        remember(c, r);
    if (mutation && c->disk) /* reply only when the change is durable */
        durable_hold_reply(c, c->disk->ops->settled_ticket(c->disk));
}
