/* Control calls on topics: put, describe, list, delete, bind, unbind. */
#include "broker/core/topic/topic.h"

#include <assert.h>
#include <stdio.h>

#define LIST_DEFAULT 100u
#define LIST_MOST    1000u
/* A page of topics ends after so many bindings, because each includes its filter. */
#define LIST_BINDINGS 500u

static void refuse(struct reply *reply, enum reason why, const char *detail)
{
    reply->reason = why;
    reply->detail = detail;
    reply->result = RESULT_NONE;
}

void topic_names_of(const struct queue *q, struct error *out)
{
    size_t used = 0;
    out->text[0] = '\0';
    for (uint32_t i = 0; i < q->topic_count && used < sizeof out->text; i++)
        used += (size_t)snprintf(out->text + used, sizeof out->text - used, "%s%s", i ? ", " : "", q->topics[i]->name);
}

const char *topic_hint(struct core *c, const struct request *r, struct error *why)
{
    if (r->call == CALL_REDRIVE || !topic_find(c, span_str(r->queue))) /* the detail of a redrive is about its target */
        return "";
    error_set(why, "'%s' is a topic, not a queue: GET /v1/topics/%s shows the queues that are bound to it", r->queue,
              r->queue);
    return why->text;
}

enum reason topic_put(struct core *c, struct span name, struct topic **out, bool *created, struct error *why)
{
    *out = topic_find(c, name);
    *created = !*out;
    if (*out)
        return REASON_ok;
    if (queue_find(c, name)) {
        error_set(why, "a queue already has this name, and a topic cannot share it; choose another name");
        return REASON_conflict;
    }
    if (c->topic_count >= c->config.max_queues) {
        error_set(why, "there are as many topics as max_queues (%u) allows; delete some or raise it",
                  c->config.max_queues);
        return REASON_conflict;
    }
    *out = topic_create(c, name);
    return REASON_ok;
}

/* ------------------------------------------------------------------ looking */

static void describe(const struct core *c, struct topic *t, struct arena *arena, struct topic_info *out)
{
    struct binding_info *bindings = arena_alloc(arena, t->binding_count * sizeof *bindings);
    assert(bindings); /* a page of topics is bounded, and so is what one has */
    for (uint32_t i = 0; i < t->binding_count; i++) {
        const struct binding *b = &t->bindings[i];
        bindings[i] = (struct binding_info){ b->queue->name, buf_span(&b->filter), b->matched };
    }
    *out = (struct topic_info){
        .topic = t->name,
        .managed = t->managed,
        .unrouted = t->unrouted,
        .catch_all = t->catch_all ? t->catch_all->name : "",
        .bindings = bindings,
        .binding_count = t->binding_count,
        .accepted = t->accepted,
        .dropped = t->dropped,
        .refused = t->refused,
        .duplicates = t->duplicates,
        .waiting_publishers = t->waiting,
        .in_rate_milli = (uint64_t)(rate_read(&t->in_rate, c->now.mono) * 1000),
    };
}

static void answer(const struct core *c, struct topic *t, struct reply *reply, struct arena *arena)
{
    reply->result = RESULT_TOPIC;
    describe(c, t, arena, &reply->u.topic);
}

static void list(struct core *c, const struct request *r, struct reply *reply, struct arena *arena)
{
    uint32_t limit = r->u.list.limit ? r->u.list.limit : LIST_DEFAULT;
    limit = limit < LIST_MOST ? limit : LIST_MOST;
    const char *prefix = r->u.list.prefix, *after = r->u.list.after;
    struct topic_info *topics = arena_alloc(arena, limit * sizeof *topics);
    size_t count = 0, bindings = 0;
    reply->result = RESULT_TOPICS;
    reply->u.topics.next = "";
    uint32_t i = topic_place(c, strcmp(after, prefix) > 0 ? after : prefix);
    if (i < c->topic_count && strcmp(c->topics_by_name[i]->name, after) == 0)
        i++;
    for (; i < c->topic_count && strncmp(c->topics_by_name[i]->name, prefix, strlen(prefix)) == 0; i++) {
        struct topic *t = c->topics_by_name[i];
        if (count == limit || (count && bindings + t->binding_count > LIST_BINDINGS)) {
            reply->u.topics.next = topics[count - 1].topic;
            break;
        }
        bindings += t->binding_count;
        describe(c, t, arena, &topics[count++]);
    }
    reply->u.topics.topics = topics;
    reply->u.topics.count = count;
}

/* ------------------------------------------------------------------ changing */

/* False, with an error in `reply`: the topic is managed by the configuration file. */
static bool may_change(const struct topic *t, struct reply *reply, struct error *why)
{
    if (!t->managed)
        return true;
    error_set(why, "topic '%s' is managed by the broker's configuration file; change it there", t->name);
    refuse(reply, REASON_managed, why->text);
    return false;
}

static void put(struct core *c, const struct request *r, struct reply *reply, struct arena *arena, struct error *why)
{
    struct topic *t = topic_find(c, span_str(r->topic));
    struct queue *catch_all = NULL;
    bool created, sets = r->u.put_topic.has_unrouted;
    if (t && r->u.put_topic.only_create) {
        refuse(reply, REASON_exists, "the topic exists already");
        return;
    }
    if (t && sets && !may_change(t, reply, why))
        return;
    if (sets && r->u.put_topic.unrouted == UNROUTED_QUEUE) {
        catch_all = queue_find(c, span_str(r->u.put_topic.catch_all));
        if (!catch_all) {
            refuse(reply, REASON_unknown_queue,
                   "the queue for events that match no binding does not exist; declare it first");
            return;
        }
    }
    enum reason done = topic_put(c, span_str(r->topic), &t, &created, why);
    if (done == REASON_ok && sets)
        done = topic_set_unrouted(c, t, r->u.put_topic.unrouted, catch_all, why);
    if (done != REASON_ok) { /* no topic was created: a new one accepts any durability */
        refuse(reply, done, why->text);
        return;
    }
    persist_topic(c, t);
    answer(c, t, reply, arena);
    reply->u.topic.created = created;
}

static void bind(struct core *c, struct topic *t, const struct request *r, struct reply *reply, struct arena *arena,
                 struct error *why)
{
    struct queue *q = queue_find(c, span_str(r->queue));
    if (!may_change(t, reply, why))
        return;
    if (!q && r->call == CALL_BIND) {
        refuse(reply, REASON_unknown_queue, "");
        return;
    }
    enum reason done = REASON_ok;
    if (r->call == CALL_BIND) {
        done = topic_bind(c, t, q, r->u.bind.filter, why);
    } else if (!q || !topic_unbind(c, t, q)) {
        done = REASON_unknown_queue;
        error_set(why, "queue '%.128s' is not bound to topic '%s'", r->queue, t->name);
    }
    if (done != REASON_ok) {
        refuse(reply, done, why->text);
        return;
    }
    persist_topic(c, t);
    answer(c, t, reply, arena);
}

void topic_call(struct core *c, const struct request *r, struct reply *reply, struct arena *arena, struct error *why)
{
    if (r->call == CALL_LIST_TOPICS) {
        list(c, r, reply, arena);
        return;
    }
    struct topic *t = topic_find(c, span_str(r->topic));
    if (!name_valid(span_str(r->topic))) {
        refuse(reply, REASON_invalid, "a topic's name is " NAME_RULE);
    } else if (r->call == CALL_PUT_TOPIC) {
        put(c, r, reply, arena, why);
    } else if (!t) {
        refuse(reply, REASON_unknown_topic, "");
    } else if (r->call == CALL_DELETE_TOPIC) {
        if (may_change(t, reply, why))
            topic_delete(c, t);
    } else if (r->call == CALL_DESCRIBE_TOPIC) {
        answer(c, t, reply, arena);
    } else {
        bind(c, t, r, reply, arena, why);
    }
}

/* ------------------------------------------------------------------ configured */

static bool is_configured(const struct topic_config *config, const struct queue *q)
{
    for (size_t i = 0; i < config->binding_count; i++) {
        if (strcmp(config->bindings[i].queue, q->name) == 0)
            return true;
    }
    return false;
}

static struct queue *queue_meant(struct core *c, const char *name, struct error *e)
{
    struct queue *q = queue_find(c, span_str(name));
    if (!q)
        error_set(e, "there is no queue '%s'; declare it under queues:", name);
    return q;
}

/* Removes a catch-all that the configuration does not name, before anything is bound: the new queues may have the other
 * durability. */
static void drop_catch_all(struct core *c, struct topic *t, const struct topic_config *config)
{
    bool stays =
        t->catch_all && config->unrouted == UNROUTED_QUEUE && strcmp(t->catch_all->name, config->catch_all) == 0;
    if (t->catch_all && !stays)
        topic_set_unrouted(c, t, UNROUTED_REFUSE, NULL, NULL);
}

/* Bindings that are not possible are left out. False: there were some; `e` has the first. */
static bool configure_bindings(struct core *c, struct topic *t, const struct topic_config *config, struct error *e)
{
    bool fine = true;
    for (uint32_t i = t->binding_count; i-- > 0;) {
        if (!is_configured(config, t->bindings[i].queue))
            topic_unbind(c, t, t->bindings[i].queue);
    }
    for (size_t i = 0; i < config->binding_count; i++) {
        struct error *why = fine ? e : NULL;
        struct queue *q = queue_meant(c, config->bindings[i].queue, why);
        fine &= q && topic_bind(c, t, q, config->bindings[i].filter, why) == REASON_ok;
    }
    return fine;
}

static bool configure_unrouted(struct core *c, struct topic *t, const struct topic_config *config, struct error *e)
{
    struct queue *catch_all = config->unrouted == UNROUTED_QUEUE ? queue_meant(c, config->catch_all, e) : NULL;
    return (catch_all || config->unrouted != UNROUTED_QUEUE) &&
           topic_set_unrouted(c, t, config->unrouted, catch_all, e) == REASON_ok;
}

bool core_configure_topic(struct core *c, const struct topic_config *config, struct error *e, struct now now)
{
    struct topic *t;
    bool created;
    c->now = now;
    if (topic_put(c, span_str(config->name), &t, &created, e) != REASON_ok)
        return false;
    t->managed = true;
    drop_catch_all(c, t, config);
    bool fine = configure_bindings(c, t, config, e);
    fine &= configure_unrouted(c, t, config, fine ? e : NULL);
    persist_topic(c, t);
    return fine;
}
