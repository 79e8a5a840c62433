/* What the metrics of queues and of topics share. Private to them. */
#ifndef SLUICE_SIDECAR_METRICS_PRIV_H
#define SLUICE_SIDECAR_METRICS_PRIV_H

#include "sidecar/metrics.h"
#include "sidecar/running_sums.h"

/* For the counters of topics without series of their own. */
struct running_sums *topic_sums_new(void);
/* Those, which live as long as `m`. */
struct running_sums *queue_metrics_topics(struct queue_metrics *m);

#endif
