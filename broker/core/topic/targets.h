/* Targets: the queues that have the events of a run published to a topic, and the sequence of the first event in
 * each. Outcomes share them: neighbouring runs that went to the same queues differ only by an offset
 * (outcome.sequence), so all outcomes of a producer need only a few of these. References are counted; outcome_drop
 * releases an outcome's. */
#ifndef SLUICE_BROKER_CORE_TARGETS_H
#define SLUICE_BROKER_CORE_TARGETS_H

#include "proto/control.h"

struct targets {
    uint32_t refs;
    size_t count;
    struct target items[]; /* their names are stored behind them */
};

/* With one reference, which is the caller's. The names are copied. */
struct targets *targets_new(const struct target *items, size_t count);
void targets_drop(struct targets *t); /* NULL: does nothing */
/* Sets the targets of outcome `o`, whose events went to `items`, without taking a reference for it. If *newest,
 * which owns a reference, names the same queues at the same distances, it is shared and o->sequence is the offset;
 * otherwise *newest is replaced. */
void targets_share(struct targets **newest, const struct target *items, size_t count, struct outcome *o);

/* Take and release an outcome's own reference. Without targets they do nothing. */
void outcome_hold(const struct outcome *o);
void outcome_drop(struct outcome *o);

#endif
