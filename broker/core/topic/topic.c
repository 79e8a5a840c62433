/* Topics, their bindings, and when their waiters are tried. */
#include "broker/core/topic/topic.h"

#include "base/xalloc.h"
#include "proto/filter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct topic *topic_find(struct core *c, struct span name)
{
    struct topic *t = NULL;
    HASH_FIND(hh, c->topics, name.data, (unsigned)name.size, t);
    return t;
}

uint32_t topic_place(const struct core *c, const char *name)
{
    uint32_t low = 0, high = c->topic_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(c->topics_by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct topic *topic_create(struct core *c, struct span name)
{
    struct topic *t = xcalloc(1, sizeof *t);
    memcpy(t->name, name.data, name.size);
    t->id = ++c->next_queue_id;
    HASH_ADD_KEYPTR(hh, c->topics, t->name, (unsigned)name.size, t);
    if (c->topic_count == c->topics_capacity) {
        c->topics_capacity = c->topics_capacity ? c->topics_capacity * 2 : 16;
        c->topics_by_name = xrealloc(c->topics_by_name, c->topics_capacity * sizeof(struct topic *));
    }
    uint32_t place = topic_place(c, t->name);
    memmove(c->topics_by_name + place + 1, c->topics_by_name + place,
            (c->topic_count - place) * sizeof(struct topic *));
    c->topics_by_name[place] = t;
    c->topic_count++;
    return t;
}

/* ------------------------------------------------------------------ queues and their topics */

static bool sends_to(const struct topic *t, const struct queue *q)
{
    bool sends = t->catch_all == q;
    for (uint32_t i = 0; !sends && i < t->binding_count; i++)
        sends = t->bindings[i].queue == q;
    return sends;
}

static void list_topic(struct queue *q, struct topic *t)
{
    for (uint32_t i = 0; i < q->topic_count; i++) {
        if (q->topics[i] == t)
            return;
    }
    q->topics = xrealloc(q->topics, (q->topic_count + 1) * sizeof(struct topic *));
    q->topics[q->topic_count++] = t;
}

static void unlist_topic(struct queue *q, const struct topic *t)
{
    if (sends_to(t, q))
        return;
    for (uint32_t i = 0; i < q->topic_count; i++) {
        if (q->topics[i] == t)
            q->topics[i--] = q->topics[--q->topic_count];
    }
}

bool topic_is_durable(const struct topic *t)
{
    const struct queue *any = t->binding_count ? t->bindings[0].queue : t->catch_all;
    return any && any->durable;
}

/* A topic's queues are all in memory or all on disk: otherwise a crash would leave an event in some of its queues
 * and not in the others. `leaves`: the catch-all that `q` replaces; NULL: none. */
static bool fits(const struct topic *t, const struct queue *q, const struct queue *leaves, struct error *why)
{
    bool has_others = t->binding_count || t->catch_all != leaves;
    if (has_others && topic_is_durable(t) != (q->durable != NULL))
        return error_set(why,
                         "queue '%s' is %s and the other queues of topic '%s' are not: they must all have the same "
                         "durability",
                         q->name, q->durable ? "on disk" : "in memory", t->name);
    return true;
}

static struct binding *binding_of(const struct topic *t, const struct queue *q)
{
    for (uint32_t i = 0; i < t->binding_count; i++) {
        if (t->bindings[i].queue == q)
            return &t->bindings[i];
    }
    return NULL;
}

static struct binding *insert_binding(struct topic *t, struct queue *q)
{
    uint32_t place = 0;
    if (t->binding_count == t->binding_capacity) {
        t->binding_capacity = t->binding_capacity ? t->binding_capacity * 2 : 4;
        t->bindings = xrealloc(t->bindings, t->binding_capacity * sizeof *t->bindings);
    }
    while (place < t->binding_count && strcmp(t->bindings[place].queue->name, q->name) < 0)
        place++;
    memmove(t->bindings + place + 1, t->bindings + place, (t->binding_count - place) * sizeof *t->bindings);
    t->bindings[place] = (struct binding){ .queue = q };
    t->binding_count++;
    list_topic(q, t);
    return &t->bindings[place];
}

static int by_name(const void *left, const void *right)
{
    const struct binding *a = left, *b = right;
    return strcmp(a->queue->name, b->queue->name);
}

void topic_sort(struct topic *t)
{
    if (t->binding_count) /* else `bindings` may be NULL */
        qsort(t->bindings, t->binding_count, sizeof *t->bindings, by_name);
}

enum reason topic_bind(struct core *c, struct topic *t, struct queue *q, struct span filter, struct error *why)
{
    struct binding *b = binding_of(t, q);
    if (!filter_valid(filter)) {
        error_set(why, "this broker does not understand the filter");
        return REASON_invalid;
    }
    if (!b && t->binding_count == TOPIC_BINDINGS_MAX) {
        error_set(why, "topic '%s' already has %u queues, which is the maximum", t->name, TOPIC_BINDINGS_MAX);
        return REASON_conflict;
    }
    if (!b && !fits(t, q, NULL, why))
        return REASON_conflict;
    if (!b && q->durable && !topic_is_durable(t))
        destinations_set_persistent(c, t->name);
    if (!b)
        b = insert_binding(t, q);
    buf_clear(&b->filter);
    buf_add(&b->filter, filter.data, filter.size);
    topic_wake(c, t); /* waiting entries may go to other queues now */
    return REASON_ok;
}

static void remove_binding(struct core *c, struct topic *t, struct binding *b)
{
    struct queue *q = b->queue;
    buf_free(&b->filter);
    memmove(b, b + 1, (size_t)(t->bindings + t->binding_count - (b + 1)) * sizeof *b);
    t->binding_count--;
    unlist_topic(q, t);
    topic_wake(c, t);
}

bool topic_unbind(struct core *c, struct topic *t, struct queue *q)
{
    struct binding *b = binding_of(t, q);
    if (!b)
        return false;
    remove_binding(c, t, b);
    core_run_queue(c, q); /* its publishers may have waited behind this topic's first run */
    return true;
}

enum reason topic_set_unrouted(struct core *c, struct topic *t, enum unrouted u, struct queue *catch_all,
                               struct error *why)
{
    struct queue *before = t->catch_all;
    if (catch_all && before != catch_all && !fits(t, catch_all, before, why))
        return REASON_conflict;
    if (catch_all && catch_all->durable && !topic_is_durable(t))
        destinations_set_persistent(c, t->name);
    t->unrouted = u;
    t->catch_all = u == UNROUTED_QUEUE ? catch_all : NULL;
    if (before && before != t->catch_all) {
        unlist_topic(before, t);
        core_run_queue(c, before);
    }
    if (t->catch_all)
        list_topic(t->catch_all, t);
    topic_wake(c, t);
    return REASON_ok;
}

void topic_forget_queue(struct core *c, struct queue *q)
{
    while (q->topic_count) {
        struct topic *t = q->topics[0];
        struct binding *b = binding_of(t, q);
        if (t->catch_all == q) {
            t->catch_all = NULL;
            t->unrouted = UNROUTED_REFUSE;
        }
        if (b)
            remove_binding(c, t, b);
        unlist_topic(q, t);
        topic_wake(c, t);
        persist_topic(c, t);
    }
}

/* ------------------------------------------------------------------ the end */

static void forget_woken(struct core *c, const struct topic *t)
{
    struct topic **at = &c->woken;
    while (*at && *at != t)
        at = &(*at)->woken_next;
    if (*at)
        *at = t->woken_next;
}

void topic_free(struct core *c, struct topic *t)
{
    assert(!t->waiters);
    topic_set_unrouted(c, t, UNROUTED_REFUSE, NULL, NULL);
    while (t->binding_count)
        topic_unbind(c, t, t->bindings[t->binding_count - 1].queue);
    forget_woken(c, t);
    c->store->ops->forget(c->store, t->id);
    if (c->disk)
        c->disk->ops->forget(c->disk, t->id);
    uint32_t place = topic_place(c, t->name);
    memmove(c->topics_by_name + place, c->topics_by_name + place + 1,
            (c->topic_count - place - 1) * sizeof(struct topic *));
    c->topic_count--;
    HASH_DEL(c->topics, t);
    free(t->bindings);
    free(t);
}

void topic_delete(struct core *c, struct topic *t)
{
    publish_refuse_all(c, NULL, t, REASON_deleted);
    persist_topic_deleted(c, t);
    topic_free(c, t);
}

void topics_free(struct core *c)
{
    while (c->topic_count) {
        publish_refuse_all(c, NULL, c->topics_by_name[0], REASON_deleted);
        topic_free(c, c->topics_by_name[0]);
    }
    free(c->topics_by_name);
    c->topics_by_name = NULL;
}

/* ------------------------------------------------------------------ waking waiters */

void topic_wake(struct core *c, struct topic *t)
{
    if (t->waiters)
        t->waiters->lacks = NULL;
    if (t->is_woken)
        return;
    t->is_woken = true;
    t->woken_next = c->woken;
    c->woken = t;
}

void topics_wake_all(struct core *c)
{
    for (uint32_t i = 0; i < c->topic_count; i++) {
        if (c->topics_by_name[i]->waiters)
            topic_wake(c, c->topics_by_name[i]);
    }
}

static void run_waiters(struct core *c, struct queue *q)
{
    if (q && (q->waiters || topic_oldest(q)))
        core_run_queue(c, q);
}

void topics_run(struct core *c)
{
    while (c->woken) {
        struct topic *t = c->woken;
        c->woken = t->woken_next;
        t->is_woken = false;
        fanout_admit(c, t);
        /* In the queues' own lines, and in those of topics that were tried before this one, a run that waited behind
         * this topic's first may be first now. */
        for (uint32_t i = 0; i < t->binding_count; i++)
            run_waiters(c, t->bindings[i].queue);
        run_waiters(c, t->catch_all);
    }
}

struct topic *topic_oldest(const struct queue *q)
{
    struct topic *oldest = NULL;
    for (uint32_t i = 0; i < q->topic_count; i++) {
        struct topic *t = q->topics[i];
        bool waits_here = t->waiters && (t->waiters->lacks == q || !t->waiters->lacks);
        if (waits_here && (!oldest || t->waiters->arrival < oldest->waiters->arrival))
            oldest = t;
    }
    return oldest;
}

/* ------------------------------------------------------------------ invariants */

static void fail(const char *what, const char *name)
{
    fprintf(stderr, "core: topic '%s': does not hold: %s\n", name, what);
    abort();
}

static bool is_listed_once(const struct topic *t, const struct queue *q)
{
    uint32_t listed = 0;
    for (uint32_t i = 0; i < q->topic_count; i++)
        listed += q->topics[i] == t;
    return listed == 1;
}

static void validate(const struct topic *t)
{
    const struct waiting *w;
    uint64_t waiting = 0, arrival = 0;
    DL_FOREACH2(t->waiters, w, next_waiting)
    {
        waiting += w->undecided;
        if (w->topic != t || w->queue || w->arrival <= arrival)
            fail("its line is its own, in order of arrival", t->name);
        arrival = w->arrival;
    }
    if (waiting != t->waiting)
        fail("it counts its waiters", t->name);
    if (t->catch_all && !is_listed_once(t, t->catch_all))
        fail("its catch-all queue lists it", t->name);
    for (uint32_t i = 0; i < t->binding_count; i++) {
        const struct queue *q = t->bindings[i].queue;
        if (!is_listed_once(t, q))
            fail("a queue bound to it lists it", t->name);
        if ((q->durable != NULL) != topic_is_durable(t))
            fail("its queues have one durability", t->name);
    }
}

void topics_validate(const struct core *c)
{
    for (uint32_t i = 0; i < c->topic_count; i++)
        validate(c->topics_by_name[i]);
    for (uint32_t i = 0; i < c->queue_count; i++) {
        const struct queue *q = c->by_name[i];
        for (uint32_t k = 0; k < q->topic_count; k++) {
            if (!sends_to(q->topics[k], q))
                fail("it sends to a queue that lists it", q->topics[k]->name);
        }
    }
}
