/* Ready events of a queue on disk that were sorted, and then spilled: their partition or their key stands still, and others want the
 * memory. All that is known of one is its sequence, as a range: in the set of all that are spilled, and in the line of its
 * partition, or of the key it stands behind. Its bytes are on disk only. They are read again, in order, when the partition's owner
 * wants more, or when the key is free. Private to broker/core.
 *
 *   spill.c       what is spilled, when, and how it leaves
 *   spill_read.c  how it comes back
 *   spill_set.c   the set
 *
 * Only what was never delivered in this run, and did not fail before, is spilled: of anything else the attempts would be forgotten. So
 * what came back from consumers stays in memory, and does not count for the look-ahead.
 *
 * Order: nothing of a partition or key is delivered while something earlier of it is spilled; what is sorted later joins the
 * line. Cost: 16 bytes a range, twice; a run of neighbours of one key or partition is one range. When all of it is an
 * SPILL_SHAREth of the memory budget, no more is spilled, and what stands still holds up the others as soon as the look-ahead is full;
 * but for what is spilled already, which its partition reads one after the other. */
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
/* What stands behind a delivery that is younger stays: its key flows, and what were spilled would be read twice. */
#define SPILL_STALLED_MS 1000

/* What of a partition, or behind a key, is spilled; holds some that left meanwhile. */
struct spill_line {
    struct ranges ranges;
    uint64_t events;
};

/* Of a queue. */
struct spill {
    struct spill_set all;
    struct key *wanting; /* utlist DL: keys whose current event is in their line, the one to be read first first */
    bool keys_turn;      /* to be read, before partitions */
    bool reading;        /* one load is under way */
    uint32_t served;     /* the partition to look at first */
    struct queue *queue;
    struct timer stalled;     /* in core->spill_timers: somebody lacks room, and a delivery is no longer young then */
    uint64_t lines;           /* memory of all lines */
    uint64_t counted, *total; /* memory of all of it as the core counts it, and where; NULL: nothing was ever spilled */
};

/* The first of a line that is spilled still. */
bool spill_first(struct partitions *p, struct spill_line *line, uint64_t *first);
/* How many of it are spilled. What left in its midst is counted until all before it left, too. */
uint64_t spill_count(struct partitions *p, struct spill_line *line);
/* Is something of the line spilled that comes before that event? Then it is not to be delivered yet. */
bool spill_has_before(struct partitions *p, struct spill_line *line, uint64_t sequence);
/* The event, which is ready and not counted as sorted, joins a line in which others are before it; false: it stays in memory, as it
 * must. `item` is not to be used after it. */
bool spill_join(struct core *c, struct queue *q, struct spill_line *line, uint64_t sequence, struct item *item);
/* Too much is sorted: what cannot be delivered now is spilled, the last first. False: too much is left. */
bool spill_make_room(struct core *c, struct queue *q);
void spill_delivery_failed(struct core *c,
                           struct queue *q); /* a delivery did, or came back: its key may stand still from now on */
void spill_wake(struct core *c);             /* queues for which that is due get a turn */
/* Does what is spilled cost so much memory that no more may be? */
bool spill_is_exhausted(const struct core *c);
/* Of one that is spilled and has no key: in whose line it is. */
uint32_t spill_partition(const struct partitions *p, uint64_t sequence);
/* Settles all that is spilled, and the backlog behind it where nothing else is: then all at once. Lines are empty already. */
uint64_t spill_purge(struct core *c, struct queue *q);
void spill_line_free(struct partitions *p, struct spill_line *line);
void spill_forget(struct core *c, struct queue *q);                                  /* the queue goes */
void spill_free(struct partitions *p);                                               /* its lines went before */
void spill_remove(struct partitions *p, struct spill_line *line, uint64_t sequence); /* from the line alone */
/* Into another line: it stands behind a key from now on. */
void spill_change_lines(struct partitions *p, struct spill_line *from, struct spill_line *to, uint64_t sequence);
/* From the set alone: it left its queue, or is parked, or an item again. */
void spill_leave_set(struct partitions *p, uint64_t sequence);

/* spill_read.c */
void spill_want(struct core *c, struct queue *q);                       /* asks the disk for what is wanted */
bool spill_comes(const struct core *c, struct queue *q);                /* is some of it on its way? */
bool spill_comes_without_room(const struct core *c, struct queue *q);   /* the same while no more may be sorted */
bool spill_loaded(struct core *c, const struct store_completion *done); /* false: it is not for this */

#endif
