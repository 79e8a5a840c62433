/* Control messages about topics. */
#include "proto/control_priv.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define HAS_UNROUTED 1u

const char *unrouted_name(enum unrouted u)
{
    static const char *const names[] = { "refuse", "drop", "queue" };
    return names[u];
}

/* ------------------------------------------------------------------ requests */

static void pack_put(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__PutTopic p = SLUICE__V1__PUT_TOPIC__INIT;
    p.topic = control_borrow(r->topic);
    p.present = r->u.put_topic.has_unrouted ? HAS_UNROUTED : 0;
    p.unrouted = r->u.put_topic.unrouted;
    p.catch_all = control_borrow(r->u.put_topic.catch_all);
    p.only_create = r->u.put_topic.only_create;
    m->call_case = SLUICE__V1__REQUEST__CALL_PUT_TOPIC;
    m->put_topic = &p;
    control_pack(&m->base, out);
}

static void pack_list(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__List l = SLUICE__V1__LIST__INIT;
    l.prefix = control_borrow(r->u.list.prefix);
    l.after = control_borrow(r->u.list.after);
    l.limit = r->u.list.limit;
    m->call_case = SLUICE__V1__REQUEST__CALL_LIST_TOPICS;
    m->list_topics = &l;
    control_pack(&m->base, out);
}

static void pack_bind(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__Bind b = SLUICE__V1__BIND__INIT;
    b.topic = control_borrow(r->topic);
    b.queue = control_borrow(r->queue);
    if (r->call == CALL_BIND)
        b.filter = (ProtobufCBinaryData){ r->u.bind.filter.size, (uint8_t *)(uintptr_t)r->u.bind.filter.data };
    m->call_case = r->call == CALL_BIND ? SLUICE__V1__REQUEST__CALL_BIND : SLUICE__V1__REQUEST__CALL_UNBIND;
    m->bind = &b; /* the members of the oneof share memory */
    control_pack(&m->base, out);
}

void control_topic_pack_request(const struct request *r, Sluice__V1__Request *m, struct buf *out)
{
    Sluice__V1__NamedTopic n = SLUICE__V1__NAMED_TOPIC__INIT;
    switch (r->call) {
    case CALL_PUT_TOPIC: pack_put(r, m, out); return;
    case CALL_LIST_TOPICS: pack_list(r, m, out); return;
    case CALL_BIND:
    case CALL_UNBIND: pack_bind(r, m, out); return;
    default: break;
    }
    n.topic = control_borrow(r->topic);
    m->call_case = r->call == CALL_DELETE_TOPIC ? SLUICE__V1__REQUEST__CALL_DELETE_TOPIC
                                                : SLUICE__V1__REQUEST__CALL_DESCRIBE_TOPIC;
    m->describe_topic = &n;
    control_pack(&m->base, out);
}

bool control_topic_read_request(const Sluice__V1__Request *m, struct request *out)
{
    switch (m->call_case) {
    case SLUICE__V1__REQUEST__CALL_PUT_TOPIC:
        if (m->put_topic->unrouted > UNROUTED_QUEUE)
            return false;
        out->call = CALL_PUT_TOPIC;
        out->topic = m->put_topic->topic;
        out->u.put_topic.has_unrouted = m->put_topic->present & HAS_UNROUTED;
        out->u.put_topic.unrouted = (enum unrouted)m->put_topic->unrouted;
        out->u.put_topic.catch_all = m->put_topic->catch_all;
        out->u.put_topic.only_create = m->put_topic->only_create != 0;
        return true;
    case SLUICE__V1__REQUEST__CALL_LIST_TOPICS:
        out->call = CALL_LIST_TOPICS;
        out->u.list.prefix = m->list_topics->prefix;
        out->u.list.after = m->list_topics->after;
        out->u.list.limit = m->list_topics->limit;
        return true;
    case SLUICE__V1__REQUEST__CALL_DESCRIBE_TOPIC:
    case SLUICE__V1__REQUEST__CALL_DELETE_TOPIC:
        out->call = m->call_case == SLUICE__V1__REQUEST__CALL_DELETE_TOPIC ? CALL_DELETE_TOPIC : CALL_DESCRIBE_TOPIC;
        out->topic = m->describe_topic->topic;
        return true;
    case SLUICE__V1__REQUEST__CALL_BIND:
    case SLUICE__V1__REQUEST__CALL_UNBIND:
        out->call = m->call_case == SLUICE__V1__REQUEST__CALL_BIND ? CALL_BIND : CALL_UNBIND;
        out->topic = m->bind->topic;
        out->queue = m->bind->queue;
        if (out->call == CALL_BIND)
            out->u.bind.filter = span_of(m->bind->filter.data, m->bind->filter.len);
        return true;
    default: return false;
    }
}

/* ------------------------------------------------------------------ replies */

struct packed_topic {
    Sluice__V1__TopicInfo info;
    Sluice__V1__Binding *bindings;
};

static void write_topic(const struct topic_info *t, struct packed_topic *p)
{
    Sluice__V1__TopicInfo *m = &p->info;
    sluice__v1__topic_info__init(m);
    m->topic = control_borrow(t->topic);
    m->created = t->created;
    m->managed = t->managed;
    m->unrouted = t->unrouted;
    m->catch_all = control_borrow(t->catch_all);
    m->accepted = t->accepted;
    m->dropped = t->dropped;
    m->refused = t->refused;
    m->duplicates = t->duplicates;
    m->waiting_publishers = t->waiting_publishers;
    m->in_rate_milli = t->in_rate_milli;
    m->n_bindings = t->binding_count;
    m->bindings = xcalloc(t->binding_count, sizeof *m->bindings);
    p->bindings = xcalloc(t->binding_count, sizeof *p->bindings);
    for (size_t i = 0; i < t->binding_count; i++) {
        const struct binding_info *b = &t->bindings[i];
        sluice__v1__binding__init(&p->bindings[i]);
        p->bindings[i].queue = control_borrow(b->queue);
        p->bindings[i].filter = (ProtobufCBinaryData){ b->filter.size, (uint8_t *)(uintptr_t)b->filter.data };
        p->bindings[i].matched = b->matched;
        m->bindings[i] = &p->bindings[i];
    }
}

static void free_topic(struct packed_topic *p)
{
    free(p->info.bindings);
    free(p->bindings);
}

void control_topic_pack_reply(const struct reply *r, Sluice__V1__Reply *m, struct buf *out)
{
    Sluice__V1__TopicList l = SLUICE__V1__TOPIC_LIST__INIT;
    bool list = r->result == RESULT_TOPICS;
    size_t count = list ? r->u.topics.count : 1;
    const struct topic_info *topics = list ? r->u.topics.topics : &r->u.topic;
    struct packed_topic *packed = xcalloc(count, sizeof *packed);
    l.topics = xcalloc(count, sizeof *l.topics);
    for (size_t i = 0; i < count; i++) {
        write_topic(&topics[i], &packed[i]);
        l.topics[i] = &packed[i].info;
    }
    l.n_topics = count;
    m->result_case = list ? SLUICE__V1__REPLY__RESULT_TOPICS : SLUICE__V1__REPLY__RESULT_TOPIC;
    if (list) {
        l.next = control_borrow(r->u.topics.next);
        m->topics = &l;
    } else {
        m->topic = &packed[0].info;
    }
    control_pack(&m->base, out);
    for (size_t i = 0; i < count; i++)
        free_topic(&packed[i]);
    free(l.topics);
    free(packed);
}

static bool read_topic(const Sluice__V1__TopicInfo *m, struct arena *arena, struct topic_info *out)
{
    struct binding_info *bindings = arena_alloc(arena, m->n_bindings * sizeof *bindings);
    if (!bindings || m->unrouted > UNROUTED_QUEUE)
        return false;
    for (size_t i = 0; i < m->n_bindings; i++) {
        const Sluice__V1__Binding *b = m->bindings[i];
        bindings[i] = (struct binding_info){ b->queue, span_of(b->filter.data, b->filter.len), b->matched };
    }
    *out = (struct topic_info){
        .topic = m->topic,
        .created = m->created != 0,
        .managed = m->managed != 0,
        .unrouted = (enum unrouted)m->unrouted,
        .catch_all = m->catch_all,
        .bindings = bindings,
        .binding_count = m->n_bindings,
        .accepted = m->accepted,
        .dropped = m->dropped,
        .refused = m->refused,
        .duplicates = m->duplicates,
        .waiting_publishers = m->waiting_publishers,
        .in_rate_milli = m->in_rate_milli,
    };
    return true;
}

bool control_topic_read_reply(const Sluice__V1__Reply *m, struct arena *arena, struct reply *out)
{
    if (m->result_case == SLUICE__V1__REPLY__RESULT_TOPIC) {
        out->result = RESULT_TOPIC;
        return read_topic(m->topic, arena, &out->u.topic);
    }
    size_t count = m->topics->n_topics;
    struct topic_info *topics = arena_alloc(arena, count * sizeof *topics);
    if (!topics)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!read_topic(m->topics->topics[i], arena, &topics[i]))
            return false;
    }
    out->result = RESULT_TOPICS;
    out->u.topics.topics = topics;
    out->u.topics.count = count;
    out->u.topics.next = m->topics->next;
    return true;
}
