/* Topics from the log. A note, or a snapshot's field, always has the whole topic. */
#include "broker/core/durable/persist_topic.h"
#include "broker/core/durable/persist_fields.h"
#include "broker/core/durable/salvaged.h"
#include "broker/core/topic/targets.h"
#include "broker/core/topic/topic.h"

#include "base/xalloc.h"
#include "proto/filter.h"

#include <stdlib.h>

struct topic_fields {
    uint32_t id;
    struct span name;
    enum unrouted unrouted;
    uint64_t catch_all;
};

static bool read_topic(struct span bytes, struct topic_fields *w)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    *w = (struct topic_fields){ 0 };
    while (!wire_done(&r)) {
        if (!wire_next(&r, &f))
            return false;
        switch (f.tag) {
        case TOPIC_ID: w->id = (uint32_t)f.number; break;
        case TOPIC_NAME: w->name = f.bytes; break;
        case TOPIC_UNROUTED: w->unrouted = f.number > UNROUTED_QUEUE ? UNROUTED_REFUSE : (enum unrouted)f.number; break;
        case TOPIC_CATCH_ALL: w->catch_all = f.number; break;
        default: break;
        }
    }
    return w->id && name_valid(w->name);
}

static void take_binding(struct core *c, struct topic *t, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct queue *q = NULL;
    struct span filter = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == BINDING_QUEUE)
            q = queue_by_id(c, f.number);
        else if (f.tag == BINDING_FILTER)
            filter = f.bytes;
    }
    if (q)
        topic_bind(c, t, q, filter, NULL);
}

static void take_bindings(struct core *c, struct topic *t, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    while (t->binding_count)
        topic_unbind(c, t, t->bindings[t->binding_count - 1].queue);
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == TOPIC_BINDING)
            take_binding(c, t, f.bytes);
    }
}

/* Under the id that the topic had; topics and queues share one row of ids. */
static struct topic *create(struct core *c, const struct topic_fields *w)
{
    uint32_t next = c->next_queue_id;
    c->next_queue_id = w->id - 1;
    struct topic *t = topic_create(c, w->name);
    c->next_queue_id = next > w->id ? next : w->id;
    return t;
}

bool persist_take_topic(struct core *c, struct span bytes)
{
    struct topic_fields w;
    if (!read_topic(bytes, &w))
        return false;
    struct topic *t = topic_find(c, w.name);
    if (!t || t->id != w.id) {
        salvaged_lose_name(c, w.name);
        t = create(c, &w);
    }
    struct queue *catch_all = w.unrouted == UNROUTED_QUEUE ? queue_by_id(c, w.catch_all) : NULL;
    topic_set_unrouted(c, t, UNROUTED_REFUSE, NULL, NULL);
    take_bindings(c, t, bytes);
    if (catch_all || w.unrouted != UNROUTED_QUEUE)
        topic_set_unrouted(c, t, w.unrouted, catch_all, NULL);
    return true;
}

void persist_take_topic_deleted(struct core *c, uint64_t id)
{
    for (uint32_t i = 0; i < c->topic_count; i++) {
        if (c->topics_by_name[i]->id != id)
            continue;
        topic_free(c, c->topics_by_name[i]);
        return;
    }
}

/* ------------------------------------------------------------------ where events went */

/* False: the queue is gone and its name unknown. */
static bool read_target(struct core *c, struct span bytes, struct target *out, char name[NAME_MAX_SIZE + 1])
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    struct span text = { 0 };
    *out = (struct target){ .queue = name };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        const struct queue *q = f.tag == TARGET_QUEUE ? queue_by_id(c, f.number) : NULL;
        if (q)
            text = span_str(q->name);
        else if (f.tag == TARGET_NAME)
            text = f.bytes;
        else if (f.tag == TARGET_SEQUENCE)
            out->sequence = f.number;
    }
    if (!name_valid(text))
        return false;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return true;
}

void persist_take_targets(struct core *c, struct span bytes, uint32_t tag, struct targets **newest, struct outcome *o)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f;
    size_t count = 0;
    struct target *targets = xcalloc(TOPIC_BINDINGS_MAX, sizeof *targets);
    char(*names)[NAME_MAX_SIZE + 1] = xcalloc(TOPIC_BINDINGS_MAX, sizeof *names);
    while (count < TOPIC_BINDINGS_MAX && !wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == tag && f.type == WIRE_BYTES)
            count += read_target(c, f.bytes, &targets[count], names[count]);
    }
    targets_share(newest, targets, count, o);
    free(names);
    free(targets);
}
