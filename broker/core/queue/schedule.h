/* A queue's schedule: which of its events wait for a time, and which run out at one. A queue whose events do neither has none.
 *
 *   waiting      not-before: by the wall clock, so that a step of it is followed
 *   backing_off  a delay that began here (a nack's, a back-off): by the monotonic clock
 *   expiring     by the wall clock
 *
 * In memory a delayed event is an item like every other. On disk it is `parked`: only its sequence is known, and its bytes
 * are read once it is due. Then it takes its place in the queue by its sequence, as if it had never been delayed: where the
 * queue is not loaded that far it joins the backlog, else it is read alone (`unparked`).
 *
 *   schedule.c         what is due, and what becomes of it
 *   schedule_disk.c    what is parked; and after a restart */
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
    struct due_run newest;        /* expiring, not in the heap yet: neighbours that expire with it join */
    uint32_t sweep_waiting, sweep_expiring, sweep_backing_off; /* runs at which the stale ones are swept out */
    uint64_t memory;                                           /* of it, as core->schedule_bytes counts it */
    bool goes_on; /* more runs out than the last turn took, which has another at once, whatever the clocks do */
    struct ranges overdue; /* its expiry passed and it is in flight */
    /* of a queue on disk */
    struct ranges parked;   /* delayed */
    struct ranges unparked; /* ready, before `loaded`, and to be read */
    struct ranges fresh;    /* parked at an orderly stop, and certainly never delivered before it */
    uint64_t parked_events, unparked_events;
    bool loading;
    /* doomed.h: not dead yet; doomed_by_failure: those of them that did not expire */
    struct ranges doomed, doomed_by_failure;
    uint64_t doomed_events;
    int64_t doomed_at;          /* monotonic, ns: when they are tried; INT64_MAX: once the disk has the first */
    enum dead_hold doomed_hold; /* what stood in the way last */
    bool doomed_loading;
};

struct schedule *schedule_of(struct core *c, struct queue *q); /* makes it where there is none */
void schedule_free(struct core *c, struct queue *q);
/* The least sequence of [from, end) that the queue holds, wherever it is; `end` when there is none. */
uint64_t schedule_held(struct queue *q, uint64_t from, uint64_t end);
/* Sets the timers to what is due next. */
void schedule_arm(struct core *c, struct schedule *k);

/* Events accepted with these terms, as items or parked. */
void schedule_accepted(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms);
/* A delayed item, or a parked event, comes again after so long. */
void schedule_delay(struct core *c, struct queue *q, uint64_t sequence, uint64_t ms);

/* schedule_disk.c */
void schedule_park(struct queue *q, uint64_t first, uint64_t count);
/* How much is worth reading for [first, end) and its neighbours in `wanted`. */
uint64_t schedule_load_bytes(const struct queue *q, const struct ranges *wanted, uint64_t first, uint64_t end);
/* What is on disk only, wherever, is parked. */
void schedule_park_event(struct core *c, struct queue *q, uint64_t sequence);
/* A parked event is due: it takes its place. */
void schedule_unpark(struct core *c, struct queue *q, uint64_t sequence);
/* What is left of the back-off in which a restart found the event, of a queue on disk; 0: nothing. */
uint64_t schedule_backoff_left(const struct core *c, const struct queue *q, uint64_t sequence);
/* From the log, before the queue is taken over: they may be settled already. */
void schedule_restore(struct core *c, struct queue *q, uint64_t first, uint64_t count, const struct terms *terms);

#endif
