/* A queue's schedule: which of its events are delayed, and which expire. A queue without such events has no schedule.
 *
 *   waiting      not before a time given with the event: by the wall clock, so that steps of the clock are followed
 *   backing_off  a delay that began at the broker (a nack's, a back-off): by the monotonic clock
 *   expiring     by the wall clock
 *
 * In a queue in memory a delayed event is an item like every other. In a queue on disk it may be *parked*: only its
 * sequence is in memory. When it is due it is *unparked*: it takes its place in the queue by its sequence, as if it had
 * never been delayed. If the queue is not loaded that far, it joins the backlog; otherwise it is read on its own.
 *
 *   schedule.c         what is due, and what is done then
 *   schedule_disk.c    parked and unparked events; recovery after a restart */
#ifndef SLUICE_BROKER_CORE_SCHEDULE_H
#define SLUICE_BROKER_CORE_SCHEDULE_H

#include "broker/core/queue/due.h"
#include "broker/core/state.h"

struct schedule {
    struct queue *queue;
    struct timer wall;            /* in core->wall_timers */
    struct timer mono;            /* in core->delay_timers */
    struct due waiting, expiring; /* wall clock, ms */
    struct due backing_off;       /* monotonic, ns */
    struct due_run newest;        /* expiring, not in the heap yet: neighbours that expire with it are added to it */
    uint32_t sweep_waiting, sweep_expiring, sweep_backing_off; /* heap sizes at which stale runs are swept out */
    uint64_t memory;                                           /* bytes, as counted in core->schedule_bytes */
    bool goes_on;          /* more had expired than one turn takes: the queue is run again at once */
    struct ranges overdue; /* expired while in flight */
    /* of a queue on disk */
    struct ranges parked;   /* delayed, and on disk only */
    struct ranges unparked; /* due, below `loaded`, and still to be read */
    uint64_t parked_events, unparked_events;
    bool loading;
    /* doomed.h: events that wait to become dead; doomed_by_failure: those of them that have not expired */
    struct ranges doomed, doomed_by_failure;
    uint64_t doomed_events;
    int64_t doomed_at;          /* monotonic, ns: when they are tried next; INT64_MAX: once the first is durable */
    enum dead_hold doomed_hold; /* why they could not become dead at the last try */
    bool doomed_loading;
};

struct schedule *schedule_of(struct core *c, struct queue *q); /* creates it if there is none */
void schedule_free(struct core *c, struct queue *q);
/* The lowest sequence in [from, end) that the queue holds, in memory or on disk; `end`: there is none. */
uint64_t schedule_held(struct queue *q, uint64_t from, uint64_t end);
/* Sets both timers to what is due next. */
void schedule_arm(struct core *c, struct schedule *k);

/* `count` events from `first` on were accepted with these terms, and are items or parked. */
void schedule_accepted(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms);
/* A delayed item, or a parked event, becomes ready after `ms`. */
void schedule_delay(struct core *c, struct queue *q, uint64_t sequence, uint64_t ms);

/* schedule_disk.c */
/* Adds events that are on disk only, and counted nowhere else, to the parked ones. */
void schedule_park(struct queue *q, uint64_t first, uint64_t count);
/* How many bytes to load for [first, end) and for those of its neighbours that are in `wanted`. */
uint64_t schedule_load_bytes(const struct queue *q, const struct ranges *wanted, uint64_t first, uint64_t end);
/* Parks an event that is on disk only, wherever the queue has it. */
void schedule_park_event(struct core *c, struct queue *q, uint64_t sequence);
/* A parked event is due: it becomes ready. */
void schedule_unpark(struct core *c, struct queue *q, uint64_t sequence);
/* The rest, in ms, of the back-off that the event of a queue on disk was in when the broker restarted; 0: none. */
uint64_t schedule_backoff_left(const struct core *c, const struct queue *q, uint64_t sequence);
/* Terms of events read from the log, before the queue is recovered. The events may be settled already. */
void schedule_restore(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms);

#endif
