/* What is known of the failures of a queue's events (the API's "trouble"), and the queue's dead events. Private to
 * broker/core.
 *
 * A dead event has left its queue's items and counts. If the queue has a dead-letter queue, the event has moved there
 * (dead_letter.h) and nothing of it is kept here. Otherwise it is in the queue's dead store: its struct trouble *is*
 * the dead event, until it is redriven or purged.
 *
 * Ownership: the queue owns its troubles. That of a live event goes when the event is settled (trouble_settled), that
 * of a dead one with dead_remove. */
#ifndef SLUICE_BROKER_CORE_TROUBLE_H
#define SLUICE_BROKER_CORE_TROUBLE_H

#include "broker/core/state.h"

struct trouble {
    uint64_t sequence;
    enum dead_reason dead;     /* DEAD_NOT: it is alive */
    enum dead_hold held;       /* why it cannot be dead yet; HOLD_NOT: nothing is in the way */
    uint8_t failures;          /* nacks, drops and expired leases; saturating */
    uint8_t crashes;           /* consumers that vanished with it in flight; saturating */
    bool dropped;              /* by the application: dead as soon as there is room for it */
    uint16_t status;           /* of the newest failure; 0: none given */
    uint16_t attempt;          /* its delivery count when the newest delivery failed or was handed back */
    uint16_t recovered;        /* its delivery count as the log had it at the start; 0: unknown */
    uint32_t size;             /* dead: the event's size, bytes */
    store_locator at;          /* dead: its bytes; 0: they are on disk only */
    int64_t first_ms, last_ms; /* of the first and the newest failure; wall clock */
    uint64_t delay_ms;         /* it is delayed for so long, … */
    int64_t since_ms;          /* … from here on, wall clock; so that a restart can go on with the delay */
    char *error;               /* of the newest failure; NULL: none given */
    struct history *history;   /* attempts.h; NULL: none */
    UT_hash_handle hh;
};

struct trouble *trouble_find(const struct queue *q, uint64_t sequence); /* NULL: there is none */
struct trouble *trouble_of(struct queue *q, uint64_t sequence);         /* creates it if there is none */
void trouble_forget(struct queue *q, struct trouble *t);
/* The event was settled: forgets its trouble, unless it is dead. */
void trouble_settled(struct queue *q, uint64_t sequence);
/* The part of an error text that is kept: at most TROUBLE_ERROR_MAX bytes of UTF-8; empty when it is no UTF-8.
 * Borrowed. */
struct span trouble_clip_error(struct span error);
/* Sets what the newest failure said. */
void trouble_set_error(struct trouble *t, uint32_t status, struct span error);
/* Clears `held`: the event will not die, or nothing is in the way of it. */
void trouble_unhold(struct queue *q, struct trouble *t);
/* The trouble as the API shows it, all zero for NULL; the text is borrowed from `t`. */
struct trouble_info trouble_info(const struct trouble *t);
void trouble_free(struct queue *q); /* all of them */

/* Makes the event dead: takes it out of the queue's items and counts, and puts it into the dead store or the
 * dead-letter queue. False when that is not possible now; then nothing changed except that its trouble says why
 * (`held`), and the caller has to try again later. */
bool dead_bury(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why);
/* The same for callers that keep track of the obstacle themselves (an event that is doomed or dropped). Returns
 * HOLD_NOT when it is dead; otherwise what stands in the way, and its trouble is as before: none is created, and it is
 * not held. */
enum dead_hold dead_try(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why);
/* dead_try for an event that was on disk only and has been loaded for this. HOLD_NOT: the loaded bytes are released,
 * too. */
enum dead_hold dead_bury_loaded(struct core *c, struct queue *q, const struct store_loaded *e, enum dead_reason why);
/* The ledger's counter of that reason. */
uint64_t *dead_counter(struct ledger *l, enum dead_reason why);
void dead_restore(struct queue *q, struct trouble *t); /* from the log: counts it in the dead store */
/* Takes a dead event out of the dead store and settles it in the store. */
void dead_remove(struct core *c, struct queue *q, struct trouble *t);
void dead_forget(struct queue *q, struct trouble *t); /* the same for one that the store has settled already */
/* Iterates over the dead store in the order of sequences: NULL starts, and is returned at the end. Between two calls,
 * only events before `after` may be removed. */
struct trouble *dead_next(struct queue *q, struct trouble *after);
/* Removes all dead events; returns how many. */
uint64_t dead_purge(struct core *c, struct queue *q);

#endif
