/* Topics. An event published to a topic goes to every bound queue whose filter matches. All these queues accept it
 * or none does, and its bytes are stored once (store.h, share).
 *
 * Topics and queues share one namespace: a publish names either. A waiting run stands in the line of the name that
 * it was published to, and reserves nothing. When a queue has room again it goes to the earliest arrival: to the
 * first of the queue's own line or of the lines of topics that may send to it, except topics whose first waits for
 * another queue (docs/protocol.md, B.12). */
#ifndef SLUICE_BROKER_CORE_TOPIC_H
#define SLUICE_BROKER_CORE_TOPIC_H

#include "broker/core/publish/admission.h"

struct binding {
    struct queue *queue;
    struct buf filter; /* encoded, valid; empty: every event */
    uint64_t matched;
};

struct topic {
    char name[NAME_MAX_SIZE + 1];
    uint32_t id; /* from the same numbers as the queues' ids */
    bool managed;
    enum unrouted unrouted;
    struct queue *catch_all;  /* UNROUTED_QUEUE: gets the events that match no binding; else NULL */
    struct binding *bindings; /* sorted by the queue's name */
    uint32_t binding_count, binding_capacity;
    struct waiting *waiters; /* utlist DL, in order of arrival */
    uint64_t waiting;        /* undecided entries in these */
    uint64_t accepted, dropped, refused, duplicates;
    struct rate in_rate;
    bool is_woken; /* it is in core->woken */
    struct topic *woken_next;
    UT_hash_handle hh;
};

/* topic.c */
struct topic *topic_find(struct core *c, struct span name); /* NULL: there is none */
struct topic *topic_create(struct core *c, struct span name);
/* Deletes the topic; its waiters are refused with `deleted`, and the log is told. */
void topic_delete(struct core *c, struct topic *t);
void topic_sort(struct topic *t);                             /* sorts the bindings after a queue was renamed */
void topic_free(struct core *c, struct topic *t);             /* deletes a topic without waiters; the log is not told */
void topics_free(struct core *c);                             /* deletes all topics; the log is not told */
uint32_t topic_place(const struct core *c, const char *name); /* as queue_place, for topics_by_name */
/* Binds the queue, or replaces the filter of its binding. The filter is copied. REASON_ok, or the reason and in `why` a
 * message. */
enum reason topic_bind(struct core *c, struct topic *t, struct queue *q, struct span filter, struct error *why);
bool topic_unbind(struct core *c, struct topic *t, struct queue *q); /* false: it was not bound */
/* Sets what happens to events that match no binding. `catch_all`: the queue, with UNROUTED_QUEUE; NULL otherwise. */
enum reason topic_set_unrouted(struct core *c, struct topic *t, enum unrouted u, struct queue *catch_all,
                               struct error *why);
/* Unbinds a queue from all topics, before it is deleted. A topic whose catch-all it was refuses such events from
 * then on. */
void topic_forget_queue(struct core *c, struct queue *q);
/* Whether the topic's queues are on disk. */
bool topic_is_durable(const struct topic *t);
/* Has the topic's waiters tried at the next flush. */
void topic_wake(struct core *c, struct topic *t);
void topics_wake_all(struct core *c);
void topics_run(struct core *c); /* tries the waiters of the topics that were woken */
/* Of the topics whose first waiter waits for this queue, or was not tried yet: the one with the earliest arrival. NULL:
 * there is none. */
struct topic *topic_oldest(const struct queue *q);
void topics_validate(const struct core *c);

/* topic_call.c */
/* For a call on a queue that does not exist: a message if the name is a topic's, in `why`; otherwise "". */
const char *topic_hint(struct core *c, const struct request *r, struct error *why);
void topic_call(struct core *c, const struct request *r, struct reply *reply, struct arena *arena, struct error *why);
void topic_names_of(const struct queue *q, struct error *out); /* the topics that send to it: "orders-all, audit" */
/* Finds or creates a topic. REASON_ok, or the reason and in `why` a message. */
enum reason topic_put(struct core *c, struct span name, struct topic **out, bool *created, struct error *why);

/* ---- fanout.c: admission of entries to a topic's queues */

/* One queue that an entry goes to. */
struct queue_route {
    struct binding *binding; /* NULL: the queue is the catch-all */
    struct queue *queue;
    uint64_t has; /* a duplicate: the sequence under which the queue has accepted the event; 0: it is new there */
};

struct queue_routes {
    struct queue_route items[TOPIC_BINDINGS_MAX];
    size_t count, had; /* had: for how many of them the event is a duplicate */
};

struct fanout {
    struct core *core;
    struct destination *destination;
    struct topic *topic;
    uint64_t arrival;         /* of the run that is admitted; UINT64_MAX: the entries arrive now */
    struct queue_routes next; /* of the entry at hand */
    struct queue_routes set;  /* of the pending entries: accepted, not appended yet */
    struct store_event events[APPEND_AT_ONCE];
    uint8_t hashes[APPEND_AT_ONCE][DEDUP_HASH_SIZE];
    size_t count;
    bool hashed;
    struct terms terms; /* of all pending entries */
    uint64_t first, bytes;
    uint64_t own;              /* bytes of the memory budget that the entries free themselves: their run's */
    const struct queue *lacks; /* the queue that refused the last entry; NULL: none in particular */
    bool may_wait;             /* whether that entry may wait for room */
};

/* Writes the origin of events that go to these queues, under the sequences in `has`. In durable/persist_write.c. */
void persist_topic_origin(struct buf *out, const struct destination *d, uint64_t first,
                          const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count, const struct queue_routes *to);
/* Initialises `f`, which may be uninitialised memory. */
void fanout_begin(struct fanout *f, struct core *c, struct destination *d, struct topic *t, uint64_t arrival);
/* Accepts an entry, or returns the reason why not and sets f->lacks and f->may_wait. `in_line`: others wait before
 * it, so it is accepted only if it is a duplicate for every queue. */
enum reason fanout_take(struct fanout *f, uint64_t sequence, const struct entry *e, bool in_line);
/* Appends the pending entries to the store and decides their outcomes. */
void fanout_flush(struct fanout *f);
/* Admits the topic's waiters as far as there is room. */
void fanout_admit(struct core *c, struct topic *t);

/* ---- fanout_room.c: whether all queues in f->next can accept the entry */
/* Why it cannot be accepted however long it waits, as things are now; REASON_ok: it can, now or later. */
enum reason fanout_hopeless(struct fanout *f, const struct entry *e);
/* Whether every queue has room, if need be after dropping its oldest event. Sets f->lacks and f->may_wait. */
enum reason fanout_room(struct fanout *f, const struct entry *e);

#endif
