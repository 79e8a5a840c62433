/* Queues whose events are not one FIFO: with several partitions, each with a consumer of its own, or with `ordered:
 * key`. A plain queue has none of this (queue->partitions is NULL) and pays one branch for it. Private to
 * broker/core.
 *
 *   partition.c       which partition an event is in, and which event comes next there
 *   partition_view.c  figures and checks
 *   keys.c            at most one unsettled delivery of a key
 *   share.c           which consumer has which partitions, and how a partition changes hands
 *   spill.c           drops stalled events from memory so that the others go on (spill.h)
 *
 * The queue keeps its ring, its sequences and its counts. What partitions add is *sorting*: each ready event before
 * q->next_ready is sorted, which means that its sequence is in the heap of its partition, waits behind its key, or
 * is spilled. Events are sorted only as far as somebody wants them. Of a queue on disk at most config.look_ahead
 * sorted events, or config.look_ahead_bytes of them, are in memory: beyond that stalled ones are spilled. Keys are
 * read from the events themselves when they are sorted, so nothing about them is stored. */
#ifndef SLUICE_BROKER_CORE_PARTITION_H
#define SLUICE_BROKER_CORE_PARTITION_H

#include "broker/core/partition/spill.h"
#include "broker/core/state.h"

struct partition {
    struct heap ready; /* events to deliver, the oldest first; some may have left */
    struct spill_line spill;
    uint64_t in_flight;
    uint64_t frame;         /* sequence of the frame to the owner's session that carries the newest delivery */
    struct consumer *owner; /* who gets its events; NULL: nobody */
    struct consumer *heir;  /* gets the partition once it is drained; until then nothing is delivered; NULL: none */
};

/* A key of which an event was delivered and is not settled, or whose next event is to be delivered after such a one. */
struct key {
    uint64_t hash;
    uint64_t current;        /* the event that is delivered, or may be, while all others of the key wait */
    bool begun;              /* it was delivered; until then an earlier event may become current instead */
    struct heap waiting;     /* sorted events behind it; some may have left */
    struct spill_line spill; /* spilled events of the key */
    bool wanting;            /* the current event is spilled and is to be read: the key is in spill.wanting */
    struct key *wanting_prev, *wanting_next;
    UT_hash_handle hh, hh_current;
};

struct partitions {
    uint32_t count;
    bool ordered;
    bool moving;                   /* some partition has an heir */
    bool starved;                  /* in this turn somebody wanted more events than the look-ahead allows */
    uint64_t sorted, sorted_bytes; /* sorted events in memory that count for the look-ahead; see partition_counts */
    struct spill spill;
    uint64_t delivered_end;        /* nothing from here on was delivered */
    struct key *keys, *by_current; /* the same keys, by hash and by current event */
    bool drops;                    /* partition_oldest was called: `oldest` is kept up to date */
    struct heap oldest;            /* all ready events before next_ready, of any partition; some may have left */
    struct partition at[];
};

/* Sets up q->partitions as the settings say. The queue is empty, and no consumer has a partition. */
void partitions_set(struct queue *q);
void partitions_free(struct queue *q);
/* Aborts with the name of the invariant that does not hold. */
void partitions_validate(struct core *c, struct queue *q);

/* The hash of an event's key; 0: it has none. The event's bytes must be in memory. */
uint64_t partition_key(const struct core *c, const struct queue *q, const struct item *item);

/* A batch: neighbours of one partition, to be delivered together. */
struct selection {
    uint64_t first;
    uint32_t count; /* 0: there is nothing to deliver */
    uint32_t partition;
};
/* Takes the next batch for a consumer: at most `credit` events, of about `bytes`. The caller must pass them to
 * queue_taken_run at once. */
struct selection partition_take(struct core *c, struct consumer *k, uint64_t credit, size_t bytes);
/* Whether the next event of a partition must wait for the queue's delivery mark: it became due after the queue had
 * passed it. */
bool partition_awaits_mark(const struct queue *q);
/* Whether the look-ahead is full: no more backlog should be loaded or sorted. False for a queue without partitions. */
bool partition_is_full(const struct core *c, const struct queue *q);

/* After all consumers were served: whether one of them was starved, and there is room now to sort more for it. */
bool partition_has_more(struct core *c, struct queue *q);
/* Whether the partition's next event is spilled and has to be read first. */
bool partition_awaits_disk(struct partitions *p, struct partition *at);
/* Whether the look-ahead has room for more, if need be by spilling; if not, `starved` is set. */
bool partition_has_room(struct core *c, struct queue *q);
/* Whether its owner has credit and it is not about to change hands. */
bool partition_wants(const struct partition *p);
/* partition_wants, and its events can be delivered now: the queue is not paused and the owner's link has room. */
bool partition_is_reached(const struct queue *q, const struct partition *p);
/* Whether an event counts for the look-ahead, and so may be spilled: it was never delivered since the broker's
 * start, and is not known to have failed before. */
bool partition_counts(const struct queue *q, uint64_t sequence, const struct item *item);
void partition_count(struct queue *q, uint64_t sequence, const struct item *item);
void partition_uncount(struct queue *q, uint64_t sequence, const struct item *item);

/* Changes of an item. The first two are called before the item's state changes. */
/* Its delivery ends: it will not be in flight any more. */
void partition_ended(struct core *c, struct queue *q, const struct item *item);
/* It leaves the queue. */
void partition_left(struct core *c, struct queue *q, uint64_t sequence, const struct item *item);
/* An event that is not an item left. If it was its key's current event, the key's next one becomes current. */
void partition_release_key(struct core *c, struct queue *q, uint64_t sequence);
/* The item has become ready again. `item` must not be used afterwards. */
void partition_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* All ready events were purged. */
void partition_purged(struct queue *q);
/* The event is now ready and before next_ready. */
void partition_is_ready(struct queue *q, uint64_t sequence);
/* The oldest ready event in memory, of any partition; NULL: there is none. */
struct item *partition_oldest(struct queue *q, uint64_t *sequence);

/* partition_view.c */
/* Sets the counts of parked keys. */
void partitions_describe(struct queue *q, struct queue_info *out);
/* The partitions, if there is more than one; their strings belong to the sessions. */
const struct partition_info *partitions_list(struct queue *q, struct arena *arena, size_t *count);

/* keys.c, of a queue with `ordered: key` */
struct key *key_find(const struct queue *q, uint64_t hash); /* NULL: no event of the key is delivered or waits */
/* Makes the event the key's current one, which is about to be delivered. False: another event is, and this one must
 * wait. A hash of 0, which is no key, never waits. */
bool key_claim(struct queue *q, uint64_t hash, uint64_t sequence);
/* The event waits behind its key's current one. `item` must not be used afterwards. */
void key_wait(struct core *c, struct queue *q, uint64_t hash, uint64_t sequence, struct item *item);
/* The current event need not be read any more. */
void key_unwant(struct partitions *p, struct key *k);
/* The event left the queue. If it was its key's current event, returns the next one, which may be delivered now. 0:
 * there is none, it has to be read first, or the event was not current. */
uint64_t key_release(struct queue *q, uint64_t sequence);
/* The event that an event of this key has to wait for; 0: none. */
uint64_t key_blocker(const struct queue *q, uint64_t hash, uint64_t sequence);
struct parked {
    uint64_t keys;   /* keys whose current event failed and waits for its back-off */
    uint64_t events; /* sorted events that wait behind these */
};
struct parked keys_parked(struct queue *q);
void keys_clear_waiting(struct queue *q);
/* All spilled events are purged, and with them the keys whose current event is spilled. Their lines are already
 * empty, and nothing waits behind them. */
void keys_purge_spilled(struct queue *q);
void keys_free(struct queue *q);

/* share.c */
/* Consumers came or went: shares the partitions out evenly, and tells consumers whose turn begins. */
void share_out(struct core *c, struct queue *q);
/* Hands partitions that are drained to their heirs. */
void share_move(struct core *c, struct queue *q);
/* The consumer leaves: it owns and inherits no partition any more. Nothing of it is in flight. */
void share_forget(struct queue *q, const struct consumer *k);

#endif
