/* The `topics:` section of the broker's configuration:
 *
 *   topics:
 *     orders-all:
 *       unrouted: drop                       # refuse, drop, or {queue: NAME}
 *       bindings:
 *         audit: {}
 *         mail: {filter: '{"exact": {"type": "order.placed"}}'}
 */
#include "broker/options_topics.h"

#include "base/units.h"
#include "base/xalloc.h"
#include "proto/filter.h"

#include <stdlib.h>

static struct declared_topic *topic_find_declared(const struct broker_options *o, struct span name)
{
    struct declared_topic *t;
    HASH_FIND(hh, o->topics, name.data, name.size, t);
    return t;
}

bool broker_options_has_topic(const struct broker_options *o, const char *topic)
{
    return topic_find_declared(o, span_str(topic)) != NULL;
}

static struct declared_topic *topic_named(struct broker_options *o, struct span name)
{
    struct declared_topic *t = topic_find_declared(o, name);
    if (t)
        return t;
    t = xcalloc(1, sizeof *t);
    memcpy(t->name, name.data, name.size);
    HASH_ADD_STR(o->topics, name, t);
    return t;
}

/* Finds or adds the binding. NULL: the topic has the most already. */
static struct declared_binding *binding_to(struct declared_topic *t, struct span queue)
{
    struct declared_binding **at = &t->bindings;
    unsigned count = 0;
    for (; *at; at = &(*at)->next, count++) {
        if (span_equal(span_str((*at)->queue), queue))
            return *at;
    }
    if (count == TOPIC_BINDINGS_MAX)
        return NULL;
    *at = xcalloc(1, sizeof **at);
    memcpy((*at)->queue, queue.data, queue.size);
    return *at;
}

static bool check_name(struct span name, const char *what, struct error *e)
{
    return name_valid(name) ||
           error_set(e, "'%.*s' is not a valid %s name: use " NAME_RULE, (int)name.size, (const char *)name.data, what);
}

/* `keys`: the keys below "bindings". */
static bool read_binding(struct declared_topic *t, const char *const *keys, size_t count, const char *value, int line,
                         struct error *e)
{
    if (!check_name(span_str(keys[0]), "queue", e))
        return false;
    if (count == 1 ? *value != '\0' : strcmp(keys[1], "filter") != 0)
        return error_set(e, "a binding is 'QUEUE: {}' or 'QUEUE: {filter: JSON}'");
    struct declared_binding *b = binding_to(t, span_str(keys[0]));
    if (!b)
        return error_set(e, "topic '%s' already has %u queues, which is the maximum", t->name, TOPIC_BINDINGS_MAX);
    b->line = line;
    buf_clear(&b->filter);
    return count == 1 || filter_from_text(span_str(value), "filter", &b->filter, e);
}

static bool read_unrouted(struct declared_topic *t, const char *value, struct error *e)
{
    for (unsigned u = UNROUTED_REFUSE; u <= UNROUTED_DROP; u++) {
        t->unrouted = (enum unrouted)u;
        if (strcmp(value, unrouted_name(u)) == 0)
            return true;
    }
    return error_set(e, "unrouted must be refuse, drop or {queue: NAME}, not '%.80s'", value);
}

static bool read_catch_all(struct declared_topic *t, const char *value, int line, struct error *e)
{
    if (!check_name(span_str(value), "queue", e))
        return false;
    t->unrouted = UNROUTED_QUEUE;
    memcpy(t->catch_all, value, strlen(value) + 1);
    t->catch_line = line;
    return true;
}

static bool refuse_key(const struct declared_topic *t, const char *key, struct error *e)
{
    static const char *const known[] = { "bindings", "unrouted" };
    const char *closest = settings_closest(known, 2, key);
    return error_set(e, "unknown key '%s' of topic '%s'%s%s%s", key, t->name, closest ? "; did you mean '" : "",
                     closest ? closest : "", closest ? "'?" : "");
}

bool options_read_topic(void *context, const char *const *keys, size_t count, const char *value, int line,
                        struct error *e)
{
    struct broker_options *o = context;
    if (count && !check_name(span_str(keys[0]), "topic", e))
        return false;
    if (count < 2 && *value)
        return error_set(e, "a topic's bindings are expected: 'NAME: {bindings: {QUEUE: {}}}'");
    if (count == 0)
        return true; /* `topics:` alone */
    struct declared_topic *t = topic_named(o, span_str(keys[0]));
    if (count == 1)
        return true;
    if (strcmp(keys[1], "bindings") == 0) {
        if (count > 2)
            return read_binding(t, keys + 2, count - 2, value, line, e);
        return *value == '\0' || error_set(e, "a topic's bindings are 'QUEUE: {}' or 'QUEUE: {filter: JSON}'");
    }
    if (strcmp(keys[1], "unrouted") == 0 && count == 2)
        return read_unrouted(t, value, e);
    if (strcmp(keys[1], "unrouted") == 0 && count == 3 && strcmp(keys[2], "queue") == 0)
        return read_catch_all(t, value, line, e);
    return refuse_key(t, strcmp(keys[1], "unrouted") == 0 ? keys[2] : keys[1], e);
}

static bool refuse_unknown(const struct declared_topic *t, const char *queue, int line, const char *where,
                           struct error *e)
{
    return error_set(e,
                     "topics: '%s' names queue '%s' (line %d), which is not in %s; declare it under queues:", t->name,
                     queue, line, where);
}

bool options_check_targets_exist(const struct broker_options *o, bool (*known)(const void *context, const char *queue),
                                 const void *context, const char *where, struct error *e)
{
    for (const struct declared_topic *t = o->topics; t; t = t->hh.next) {
        for (const struct declared_binding *b = t->bindings; b; b = b->next) {
            if (!known(context, b->queue))
                return refuse_unknown(t, b->queue, b->line, where, e);
        }
        if (t->unrouted == UNROUTED_QUEUE && !known(context, t->catch_all))
            return refuse_unknown(t, t->catch_all, t->catch_line, where, e);
    }
    return true;
}

void options_free_topics(struct broker_options *o)
{
    struct declared_topic *t, *next;
    HASH_ITER (hh, o->topics, t, next) {
        HASH_DEL(o->topics, t);
        while (t->bindings) {
            struct declared_binding *b = t->bindings;
            t->bindings = b->next;
            buf_free(&b->filter);
            free(b);
        }
        free(t);
    }
}
