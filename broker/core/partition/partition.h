/* Queues whose events are not one FIFO: with several partitions, each with a consumer of its own, or with `ordered: key`. Private to
 * broker/core. A plain queue has none of this (queue->partitions is NULL) and pays one branch for it.
 *
 *   partition.c  which partition an event is in, and what comes next there
 *   keys.c       at most one delivery of a key unsettled
 *   partition_view.c  what is told of them
 *   share.c      which consumer has which partitions, and how they change hands
 *   spill.c      what of those that stand still is on disk only again, so that the others go on (spill.h)
 *
 * The queue keeps its ring, its sequences and its books. Ready events before q->next_ready were *sorted*: their sequences stand in
 * their partition's heap, or behind their key, or were spilled. Sorting goes only as far as somebody wants what lies there, and of
 * a queue on disk at most config.look_ahead events and config.look_ahead_bytes of those that wait are in memory: what of them
 * stands still is spilled then. The key is read from the event itself, so that nothing more is kept of it, on disk or off it. */
#ifndef SLUICE_BROKER_CORE_PARTITION_H
#define SLUICE_BROKER_CORE_PARTITION_H

#include "broker/core/partition/spill.h"
#include "broker/core/state.h"

struct partition {
    struct heap ready; /* to deliver, the oldest first; holds some that left meanwhile */
    struct spill_line spill;
    uint64_t in_flight;
    uint64_t frame;         /* to the owner's session, in which the newest delivery is or will be */
    struct consumer *owner; /* who gets what comes; NULL: nobody */
    struct consumer *heir;  /* has it once it is drained, and until then nobody gets more of it; NULL: it stays */
};

/* A key with an event that was delivered and is not settled, or that comes next after one that was. */
struct key {
    uint64_t hash;
    uint64_t current;        /* that event: no other of the key is delivered … */
    bool begun;              /* … once it was; until then an earlier one may become current instead */
    struct heap waiting;     /* those behind it that were looked at; holds some that left meanwhile */
    struct spill_line spill; /* more of them */
    bool wanting;            /* the current event is in that line: to be read, in spill.wanting */
    struct key *wanting_prev, *wanting_next;
    UT_hash_handle hh, hh_current;
};

struct partitions {
    uint32_t count;
    bool ordered;
    bool moving;                   /* some partition has an heir */
    bool starved;                  /* in this turn somebody wanted more than may be looked at */
    uint64_t sorted, sorted_bytes; /* ready events before next_ready that may be spilled, but are not */
    struct spill spill;
    uint64_t delivered_end;        /* nothing from here on was delivered */
    struct key *keys, *by_current; /* the same, by hash and by current event */
    bool drops;                    /* somebody asked for the oldest: from then on … */
    struct heap oldest; /* … all that is ready before next_ready, whomever it is for; holds some that left meanwhile */
    struct partition at[];
};

/* As the queue's settings say; the queue is empty and nobody has a partition. */
void partitions_set(struct queue *q);
void partitions_free(struct queue *q);
/* Aborts with the name of what does not hold. */
void partitions_validate(struct core *c, struct queue *q);

/* The hash of an event's key; 0: it has none. Its bytes are in memory. */
uint64_t partition_key(const struct core *c, const struct queue *q, const struct item *item);

/* A batch: neighbours of one partition, to be delivered together. */
struct selection {
    uint64_t first;
    uint32_t count; /* 0: there is nothing */
    uint32_t partition;
};
/* Takes the next batch for a consumer, at most `credit` events and about `bytes`: they are to be passed to queue_taken now. */
struct selection partition_take(struct core *c, struct consumer *k, uint64_t credit, size_t bytes);
/* Does something wait for the queue's mark that was delayed, and has been passed since? */
bool partition_awaits_mark(const struct queue *q);
/* Is so much sorted and not delivered that no more should be loaded? */
bool partition_is_full(const struct core *c, const struct queue *q);

/* After everybody had what there is: is there more for somebody now? */
bool partition_has_more(struct core *c, struct queue *q);
/* Is what comes next spilled, so that it has to be read first? */
bool partition_awaits_disk(struct partitions *p, struct partition *at);
/* Is there room to look at more? What stands still makes some. */
bool partition_has_room(struct core *c, struct queue *q);
/* Would its owner have more? */
bool partition_wants(const struct partition *p);
/* … and can it be delivered now? */
bool partition_is_reached(const struct queue *q, const struct partition *p);
/* Does it count as sorted: was it never delivered in this run, and has not failed before as far as is known? */
bool partition_counts(const struct queue *q, uint64_t sequence, const struct item *item);
void partition_count(struct queue *q, uint64_t sequence, const struct item *item);
void partition_uncount(struct queue *q, uint64_t sequence, const struct item *item);

/* An item changes; each is called before its state does. */
void partition_ended(struct core *c, struct queue *q, const struct item *item); /* it is in flight, no longer */
void partition_left(struct core *c, struct queue *q, uint64_t sequence, const struct item *item);
/* The event, which is no item, left: the next of its key comes where that was the current one. */
void partition_goes_on(struct core *c, struct queue *q, uint64_t sequence);
/* After it did: it is ready again. */
void partition_returned(struct core *c, struct queue *q, uint64_t sequence, struct item *item);
/* Nothing is ready any more. */
void partition_purged(struct queue *q);
/* It is ready, and before next_ready, from now on. */
void partition_is_ready(struct queue *q, uint64_t sequence);
/* The oldest that is ready, whoever it is for; NULL: none is. */
struct item *partition_oldest(struct queue *q, uint64_t *sequence);

/* partition_view.c. What keys are parked; the partitions themselves, where there is more than one: their texts are the sessions'. */
void partitions_describe(struct queue *q, struct queue_info *out);
const struct partition_info *partitions_list(struct queue *q, struct arena *arena, size_t *count);

/* keys.c. Of a queue with `ordered: key`. */
struct key *key_find(const struct queue *q, uint64_t hash); /* NULL: it is not known */
/* The event is the key's only one now, and is to be delivered. False: another one is, and this one is to wait for it. */
bool key_claim(struct queue *q, uint64_t hash, uint64_t sequence);
/* It waits: its key is known. `item` is not to be used after it. */
void key_wait(struct core *c, struct queue *q, uint64_t hash, uint64_t sequence, struct item *item);
/* The current event is not to be read any more. */
void key_unwant(struct partitions *p, struct key *k);
/* The event left the queue. The next of its key; 0: there is none, or it has to be read first, or it was no key's current one. */
uint64_t key_release(struct queue *q, uint64_t sequence);
/* The event for which one of that key waits; 0: none. */
uint64_t key_blocker(const struct queue *q, uint64_t hash, uint64_t sequence);
struct parked {
    uint64_t keys;   /* whose event failed and waits for its back-off */
    uint64_t events; /* behind those, as far as was looked */
};
struct parked keys_parked(struct queue *q);
void keys_clear_waiting(struct queue *q);
/* Keys whose current event is spilled go with all that is; their lines are empty, and nothing waits behind them. */
void keys_purge_spilled(struct queue *q);
void keys_free(struct queue *q);

/* share.c */
/* Consumers came or went: every partition has one, evenly. Tells those whose turn changes. */
void share_out(struct core *c, struct queue *q);
/* Partitions that are drained go to their heirs. */
void share_move(struct core *c, struct queue *q);
/* The consumer goes: it has no partition and inherits none. Nothing of it is in flight. */
void share_forget(struct queue *q, const struct consumer *k);

#endif
