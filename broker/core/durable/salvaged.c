#include "broker/core/durable/salvaged.h"

#include "broker/core/durable/persist_read.h"
#include "broker/core/topic/topic.h"

#include <stdio.h>

/* ------------------------------------------------------------------ queues and names */

/* Creates the queue under the id it had. */
static struct queue *create(struct core *c, uint32_t id, struct span name, const struct queue_settings *settings)
{
    uint32_t next = c->next_queue_id;
    c->next_queue_id = id - 1;
    struct queue *q = queue_create(c, name, settings);
    c->next_queue_id = next > id ? next : id;
    return q;
}

/* Is its name one of make_name? */
static bool is_made_up(const struct queue *q)
{
    char name[NAME_MAX_SIZE + 1];
    int size = snprintf(name, sizeof name, "recovered-%u", q->id);
    return strncmp(q->name, name, (size_t)size) == 0 && (q->name[size] == '\0' || q->name[size] == '-');
}

/* A name that no queue or topic has. */
static struct span make_name(struct core *c, uint32_t id, char out[NAME_MAX_SIZE + 1])
{
    snprintf(out, NAME_MAX_SIZE + 1, "recovered-%u", id);
    for (unsigned i = 2; queue_find(c, span_str(out)) || topic_find(c, span_str(out)); i++)
        snprintf(out, NAME_MAX_SIZE + 1, "recovered-%u-%u", id, i);
    return span_str(out);
}

struct queue *salvaged_queue(struct core *c, uint32_t id)
{
    char name[NAME_MAX_SIZE + 1];
    struct queue *q = queue_by_id(c, id);
    struct queue_settings settings = queue_settings_defaults();
    settings.durability = DURABILITY_DISK;
    if (q)
        return q;
    q = create(c, id, make_name(c, id, name), &settings);
    core_log(c, LOG_WARN, q, NULL, "the log has events of queue %u but not its name: they are in queue '%s'", id,
             q->name);
    return q;
}

void salvaged_lose_name(struct core *c, struct span name)
{
    char other[NAME_MAX_SIZE + 1];
    struct queue *q = queue_find(c, name);
    struct topic *t = topic_find(c, name);
    if (t)
        topic_free(c, t);
    if (!q)
        return;
    topic_forget_queue(c, q);
    struct span called = make_name(c, q->id, other);
    if (is_made_up(q)) /* its outcomes go with it; those under a name that it was given stay with the name */
        persist_move_outcomes(c, name, called);
    queue_rename(c, q, called);
    core_log(c, LOG_WARN, q, NULL,
             "the log does not say what became of queue '%.*s' before another got its name: it is called '%s' now",
             (int)name.size, (const char *)name.data, q->name);
}

struct queue *salvaged_as(struct core *c, uint32_t id, struct span name, const struct queue_settings *settings)
{
    struct queue *q = queue_by_id(c, id);
    if (q && span_equal(span_str(q->name), name))
        return q;
    salvaged_lose_name(c, name);
    if (!q)
        return create(c, id, name, settings);
    persist_move_outcomes(c, span_str(q->name), name); /* what was accepted under the made-up name */
    queue_rename(c, q, name);
    return q;
}

/* ------------------------------------------------------------------ dead letters */

static struct queue *next_of(struct core *c, const struct queue *q)
{
    return q->settings.dead_letter[0] ? queue_find(c, span_str(q->settings.dead_letter)) : NULL;
}

/* Do dead letters of `q` come back to it? The search is bounded, as it may get into another circle. */
static bool is_circle(struct core *c, const struct queue *q)
{
    const struct queue *at = next_of(c, q);
    for (uint32_t i = 0; at && at != q && i < c->queue_count; i++)
        at = next_of(c, at);
    return at == q;
}

void salvaged_check_dead_letters(struct core *c)
{
    for (uint32_t i = 0; i < c->queue_count; i++) {
        struct queue *q = c->by_name[i];
        const struct queue *to = next_of(c, q);
        if (!to || (!is_circle(c, q) && (!q->durable || to->durable)))
            continue;
        core_log(c, LOG_WARN, q, NULL, "its dead letters no longer go to '%s': %s", to->name,
                 q->durable && !to->durable ? "that queue is in memory" : "they would go in a circle");
        q->settings.dead_letter[0] = '\0';
        persist_queue(c, q);
    }
}
