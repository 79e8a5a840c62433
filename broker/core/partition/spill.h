/* Spilling: a queue on disk drops ready events from memory when their partition or key is stalled and others need
 * the room.
 *
 * Such events were sorted to their partition or key before (partition.h). Afterwards only their sequences are in
 * memory, as ranges: in a set of all spilled events, and in the line of their partition or, if they wait behind
 * another event of their key, of that key. They are read again from the disk, in order, when the partition's owner
 * wants more or the key is free. Private to broker/core.
 *
 *   spill.c       what is spilled and when; how spilled events leave
 *   spill_read.c  reads them back
 *   spill_set.c   the set
 *
 * What may be spilled: only events that were never delivered since the broker's start and are not known to have
 * failed before, because the number of attempts of any other would be lost. Events that consumers returned therefore
 * stay in memory; they do not count for the look-ahead.
 *
 * Order: nothing of a partition or key is delivered while an earlier event of it is spilled. Events of it that are
 * sorted later join the line.
 *
 * Cost: 16 bytes a range, twice; neighbours of one key or partition are one range. When all of this reaches
 * 1/SPILL_SHARE of the memory budget nothing more is spilled. From then on a stalled partition or key holds up the
 * others as soon as the look-ahead is full, except that a partition still reads its own spilled events one by one. */
#ifndef SLUICE_BROKER_CORE_SPILL_H
#define SLUICE_BROKER_CORE_SPILL_H

#include "base/timers.h"
#include "broker/core/partition/spill_set.h"

struct core;
struct item;
struct key;
struct partition;
struct partitions;
struct queue;
struct store_completion;

#define SPILL_SHARE 4u
/* A key whose current event was delivered less than this ago is not stalled: what waits behind it would soon be read
 * again. */
#define SPILL_STALLED_MS 1000

/* The spilled events of a partition, or of those that wait behind a key. Some may have left the queue: the set
 * decides. */
struct spill_line {
    struct ranges ranges;
    uint64_t events;
};

/* The spill of one queue. */
struct spill {
    struct spill_set all;
    struct key *wanting; /* keys whose current event is spilled and is to be read; utlist DL, the next one first */
    bool keys_turn;      /* loads alternate: whether the last one preferred a key to a partition */
    bool reading;        /* a load is in progress; there is one at a time */
    uint32_t served;     /* the partition to look at first */
    struct queue *queue;
    struct timer stalled;     /* in core->spill_timers; while the look-ahead is full: when the next key is stalled */
    uint64_t lines;           /* memory of all lines */
    uint64_t counted, *total; /* memory of all of it, as last added to *total; NULL: nothing was ever spilled */
};

/* The first event of a line that is still spilled. False: there is none. */
bool spill_first(struct partitions *p, struct spill_line *line, uint64_t *first);
/* How many events of a line are spilled. An event that has left is still counted while an earlier one is spilled. */
uint64_t spill_count(struct partitions *p, struct spill_line *line);
/* Whether an event of the line before `sequence` is spilled: then that of `sequence` must not be delivered yet. */
bool spill_has_before(struct partitions *p, struct spill_line *line, uint64_t sequence);
/* Spills a ready event, not counted as sorted, if an earlier event of its line is spilled. False: it stays in
 * memory, as there is none, or the event may not be spilled. After true `item` must not be used. */
bool spill_join(struct core *c, struct queue *q, struct spill_line *line, uint64_t sequence, struct item *item);
/* The look-ahead is full: spills events that cannot be delivered now, the last ones first. False: it is still full. */
bool spill_make_room(struct core *c, struct queue *q);
/* A delivery failed or was returned: its key may be stalled now. */
void spill_delivery_failed(struct core *c, struct queue *q);
/* Runs the queues in which a key has become stalled. */
void spill_wake(struct core *c);
/* Whether the indexes of spilled events take so much memory that no more may be spilled. */
bool spill_is_exhausted(const struct core *c);
/* The partition in whose line a spilled event without a key is. */
uint32_t spill_partition(const struct partitions *p, uint64_t sequence);
/* Purges all spilled events; and the backlog with them, if that can be done in one operation of the store. The lines
 * were emptied before. Returns how many events. */
uint64_t spill_purge(struct core *c, struct queue *q);
void spill_line_free(struct partitions *p, struct spill_line *line);
void spill_forget(struct core *c, struct queue *q); /* the queue or its partitions are about to be freed */
void spill_free(struct partitions *p);              /* frees the set; all lines were freed before */
/* Removes an event from a line, but not from the set. */
void spill_remove(struct partitions *p, struct spill_line *line, uint64_t sequence);
/* Moves an event to another line: it waits behind its key from now on. */
void spill_change_lines(struct partitions *p, struct spill_line *from, struct spill_line *to, uint64_t sequence);
/* Removes an event from the set, but not from its line: it has left the queue, is parked, or is an item again. */
void spill_leave_set(struct partitions *p, uint64_t sequence);

/* spill_read.c */
void spill_want(struct core *c, struct queue *q);        /* loads spilled events that are wanted now */
bool spill_comes(const struct core *c, struct queue *q); /* whether a spilled event is about to come back */
bool spill_comes_without_room(const struct core *c, struct queue *q); /* the same while the look-ahead is full */
void spill_loaded(struct core *c, const struct store_completion *done);

#endif
