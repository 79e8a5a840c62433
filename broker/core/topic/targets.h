/* Which queues have the events of a run that went to a topic, and from which sequence on. Shared by the outcomes that tell of
 * them: neighbours that went the same way differ by one number (outcome.sequence), so a producer's outcomes cost a few
 * of these. Counted references; what an outcome holds is given back by outcome_drop. */
#ifndef SLUICE_BROKER_CORE_TARGETS_H
#define SLUICE_BROKER_CORE_TARGETS_H

#include "proto/control.h"

struct targets {
    uint32_t refs;
    size_t count;
    struct target items[]; /* their names lie behind them */
};

/* One reference, the caller's. The names are copied. */
struct targets *targets_new(const struct target *items, size_t count);
void targets_drop(struct targets *t); /* NULL: nothing */
/* For a run whose events went to these: *newest, which holds a reference, when it says the same but for an offset, put into
 * o->sequence; else *newest is replaced. Sets o's targets, without a reference of its own. */
void targets_share(struct targets **newest, const struct target *items, size_t count, struct outcome *o);

/* An outcome's own reference. Without targets both do nothing. */
void outcome_hold(const struct outcome *o);
void outcome_drop(struct outcome *o);

#endif
