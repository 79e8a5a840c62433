/* Topics: names that fan out to the queues bound to them whose filter matches. An event is accepted by all these queues or by
 * none, and its bytes are kept once (store.h, share).
 *
 * Topics and queues share one set of names: a publish names either. Waiters wait in the line of the name they were sent to,
 * holding nothing. Room that a queue has again goes to whoever came first: of its own line or of those of topics that may send
 * here, passing over a topic whose first waits for another queue (docs/protocol.md, B.12). */
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
    uint32_t id; /* counts on with the queues' */
    bool managed;
    enum unrouted unrouted;
    struct queue *catch_all;  /* of UNROUTED_QUEUE */
    struct binding *bindings; /* by queue's name */
    uint32_t binding_count, binding_capacity;
    struct waiting *waiters; /* utlist DL, in order of arrival */
    uint64_t waiting;        /* entries in it */
    uint64_t accepted, dropped, refused, duplicates;
    struct rate in_rate;
    bool is_woken;
    struct topic *woken_next;
    UT_hash_handle hh;
};

/* topic.c */
struct topic *topic_find(struct core *c, struct span name);
struct topic *topic_create(struct core *c, struct span name);
/* Its waiters are refused with `deleted`. */
void topic_delete(struct core *c, struct topic *t);
void topic_sort(struct topic *t);                             /* its bindings, one of whose queues has another name */
void topic_free(struct core *c, struct topic *t);             /* the same unpersisted, of one where nobody waits */
void topics_free(struct core *c);                             /* all of them, unpersisted */
uint32_t topic_place(const struct core *c, const char *name); /* as queue_place */
/* Binds the queue, or gives its binding that filter (copied). REASON_ok, or why it cannot be. */
enum reason topic_bind(struct core *c, struct topic *t, struct queue *q, struct span filter, struct error *why);
bool topic_unbind(struct core *c, struct topic *t, struct queue *q); /* false: it was not bound */
/* `catch_all` of UNROUTED_QUEUE; NULL otherwise. */
enum reason topic_set_unrouted(struct core *c, struct topic *t, enum unrouted u, struct queue *catch_all,
                               struct error *why);
/* Unbinds a queue that is about to go, everywhere; where it was the catch-all, what nothing matches is refused from then on. */
void topic_forget_queue(struct core *c, struct queue *q);
/* Are its queues on disk? */
bool topic_is_durable(const struct topic *t);
/* Its waiters are tried at the next flush. */
void topic_wake(struct core *c, struct topic *t);
void topics_wake_all(struct core *c);
void topics_run(struct core *c); /* those that were woken */
/* Of the topics whose waiters could go to that queue next: the one whose first came earliest. NULL: none. */
struct topic *topic_oldest(const struct queue *q);
void topics_validate(const struct core *c);

/* topic_call.c */
/* Of a call on a queue that is not there: says so where the name is a topic's; "" otherwise. */
const char *topic_hint(struct core *c, const struct request *r, struct error *why);
void topic_call(struct core *c, const struct request *r, struct reply *reply, struct arena *arena, struct error *why);
void topic_names_of(const struct queue *q, struct error *out); /* "orders-all, audit": those bound to it */
enum reason topic_put(struct core *c, struct span name, struct topic **out, bool *created, struct error *why);

/* ---- fanout.c: entries on their way into a topic's queues */

/* One queue that an entry goes to. */
struct queue_route {
    struct binding *binding; /* NULL: the catch-all */
    struct queue *queue;
    uint64_t has; /* the sequence under which the queue has the event already; 0: it does not */
};

struct queue_routes {
    struct queue_route items[TOPIC_BINDINGS_MAX];
    size_t count, had; /* had: that have it already */
};

struct fanout {
    struct core *core;
    struct destination *destination;
    struct topic *topic;
    uint64_t arrival;         /* of whoever is let in; UINT64_MAX: it arrives now */
    struct queue_routes next; /* of the entry that is judged */
    struct queue_routes set;  /* of the accepted ones that were not appended yet */
    struct store_event events[APPEND_AT_ONCE];
    uint8_t hashes[APPEND_AT_ONCE][DEDUP_HASH_SIZE];
    size_t count;
    bool hashed;
    struct terms terms; /* of all of them */
    uint64_t first, bytes;
    uint64_t own;              /* bytes of memory that go when they are in: those of the run that waits */
    const struct queue *lacks; /* the queue that said no, newest; NULL: none of them */
    bool may_wait;             /* … and its room may be waited for */
};

/* The origin of events that go to these queues, under the sequences that `has` says. */
void persist_topic_origin(struct buf *out, const struct destination *d, uint64_t first,
                          const uint8_t (*hashes)[DEDUP_HASH_SIZE], size_t count, const struct queue_routes *to);
/* What is set here and nothing else needs to be: the rest is written before it is read. */
void fanout_begin(struct fanout *f, struct core *c, struct destination *d, struct topic *t, uint64_t arrival);
/* Accepts the entry, or says why not: then f->lacks and f->may_wait say whose fault it is. `in_line`: others stand before it, so
 * only what every queue has already gets in. */
enum reason fanout_take(struct fanout *f, uint64_t sequence, const struct entry *e, bool in_line);
/* Appends what was accepted and decides its outcomes. */
void fanout_flush(struct fanout *f);
/* The topic's waiters, as far as there is room. */
void fanout_admit(struct core *c, struct topic *t);

/* ---- fanout_room.c: may the entry get into all the queues of f->next? */
/* Why it can never be accepted as things are; REASON_ok when it can, maybe later. */
enum reason fanout_hopeless(struct fanout *f, const struct entry *e);
/* Every queue is asked, and may drop its oldest for it. Says whose fault it is as fanout_take does. */
enum reason fanout_room(struct fanout *f, const struct entry *e);

#endif
