/* The sidecar's own figures, and the Prometheus text of these, of the broker and of its queues. */
#ifndef SLUICE_SIDECAR_METRICS_H
#define SLUICE_SIDECAR_METRICS_H

#include "base/buf.h"
#include "base/mono.h"
#include "proto/control_info.h"
#include "sidecar/link/uplink.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* A request was answered. `route` is one of routes_all's, NULL when it never had one. */
void metrics_request(struct metrics *m, const struct api_route *route, int status, int64_t took_ns);
/* Events of a publish, by what became of them. */
void metrics_published(struct metrics *m, enum reason reason, uint64_t events);

/* Everything about the sidecar. */
void metrics_write(const struct metrics *m, const struct uplink *u, uint32_t connections, struct buf *out);

/* ---- the broker's, as its control calls tell them */
void metrics_write_broker(const struct broker_info *b, struct buf *out);

/* Which queues have series of their own: the first `most` names that ever came, for the process's life, and names that
 * match a pattern (shell's *, ?, []). The rest are one, queue="other". */
struct queue_metrics;
struct queue_metrics *queue_metrics_new(uint64_t most, const struct setting_list *pinned);
void queue_metrics_free(struct queue_metrics *m);

/* One answer's queues: added page by page, then written. Several may be under way at once. */
struct queue_collection;
/* Is that queue, or topic, which share one set of names, one of those? */
bool queue_metrics_has_series(struct queue_metrics *m, const char *name);
/* The same of topics. */
struct topic_collection;
struct topic_collection *topic_collection_new(struct queue_metrics *m);
void topic_collection_free(struct topic_collection *c);
void topic_collection_add(struct topic_collection *c, const struct topic_info *t);
void topic_collection_write(const struct topic_collection *c, struct buf *b);
struct queue_collection *queue_collection_new(struct queue_metrics *m);
void queue_collection_free(struct queue_collection *c);
void queue_collection_add(struct queue_collection *c, const struct queue_info *q);
void queue_collection_write(const struct queue_collection *c, struct buf *out);

#endif
