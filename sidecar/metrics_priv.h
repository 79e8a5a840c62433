/* Shared by queue_metrics.c and topic_metrics.c. */
#ifndef SLUICE_SIDECAR_METRICS_PRIV_H
#define SLUICE_SIDECAR_METRICS_PRIV_H

#include "sidecar/metrics.h"
#include "sidecar/running_sums.h"

/* The sums of counters of topics that have no series of their own. */
struct running_sums *topic_sums_new(void);
/* The sums that belong to `m`; borrowed. */
struct running_sums *queue_metrics_topics(struct queue_metrics *m);

#endif
