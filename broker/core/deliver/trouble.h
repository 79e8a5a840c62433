/* What went wrong with a queue's events, and the dead ones among them. Private to broker/core.
 *
 * Ownership: the queue owns its troubles. That of an event that comes again goes when the event is settled (trouble_settled);
 * that of a dead one is the dead event itself and goes with dead_remove. */
#ifndef SLUICE_BROKER_CORE_TROUBLE_H
#define SLUICE_BROKER_CORE_TROUBLE_H

#include "broker/core/state.h"

struct trouble {
    uint64_t sequence;
    enum dead_reason dead;     /* DEAD_NOT: it comes again */
    enum dead_hold held;       /* … or would be dead, if this did not stand in the way */
    uint8_t failures;          /* nacks and leases that ran out; saturating, as crashes */
    uint8_t crashes;           /* consumers that vanished with it in hand */
    bool dropped;              /* by the application's word: dead as soon as there is room for it */
    uint16_t status;           /* as the newest nack said; 0: it did not */
    uint16_t attempt;          /* deliveries it had when the newest of them failed, or went back */
    uint16_t recovered;        /* … as far as the log knew at the start; 0: it did not */
    uint32_t size;             /* dead: of the event */
    store_locator at;          /* dead: its bytes; 0: on disk */
    int64_t first_ms, last_ms; /* wall clock, of the first and the newest */
    uint64_t delay_ms;         /* it does not come again for so long, … */
    int64_t since_ms;          /* … from then on, wall clock; for the case of a restart */
    char *error;               /* as the newest nack said; NULL: it did not */
    struct history *history;   /* attempts.h; NULL: none */
    UT_hash_handle hh;
};

struct trouble *trouble_find(const struct queue *q, uint64_t sequence); /* NULL: nothing went wrong */
struct trouble *trouble_of(struct queue *q, uint64_t sequence);         /* makes it where there is none */
void trouble_forget(struct queue *q, struct trouble *t);
/* The event is settled: nothing of it is remembered, unless it is dead. */
void trouble_settled(struct queue *q, uint64_t sequence);
/* Of what was said, what is kept: at most TROUBLE_ERROR_MAX bytes of UTF-8, or nothing. Borrowed. */
struct span trouble_clip_error(struct span error);
void trouble_set_error(struct trouble *t, uint32_t status, struct span error);
/* Nothing stands in the way of the event's death any more. */
void trouble_unhold(struct queue *q, struct trouble *t);
/* For people; the text is the trouble's. NULL gives none. */
struct trouble_info trouble_info(const struct trouble *t);
void trouble_free(struct queue *q); /* all of them */

/* The event dies: it leaves the queue's items and books, for its dead store or for the queue that its dead go to. False when that
 * cannot be now: nothing changed, but that its trouble says why (held), until somebody tries again. */
bool dead_bury(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why);
/* The same of one with which nothing went wrong, that is dropped or expired: its trouble is as it was when it cannot be, and what
 * stands in the way is answered. HOLD_NOT: it is dead. */
enum dead_hold dead_try(struct core *c, struct queue *q, uint64_t sequence, struct item *item, enum dead_reason why);
/* The same of one that was on disk only, and was read for this: its bytes are gone then. */
enum dead_hold dead_bury_loaded(struct core *c, struct queue *q, const struct store_loaded *e, enum dead_reason why);
/* The book that counts it. */
uint64_t *dead_counter(struct ledger *l, enum dead_reason why);
void dead_restore(struct queue *q, struct trouble *t); /* from the log: counts it */
void dead_remove(struct core *c, struct queue *q, struct trouble *t);
void dead_forget(struct queue *q, struct trouble *t); /* the same, where the store has settled it already */
/* The dead in order of sequence; NULL begins, and ends. Only dead_remove of what was passed may come between. */
struct trouble *dead_next(struct queue *q, struct trouble *after);
uint64_t dead_purge(struct core *c, struct queue *q);

#endif
