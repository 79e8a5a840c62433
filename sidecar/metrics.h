/* The sidecar's own metrics, and the Prometheus text of these, of the broker, its queues and topics. */
#ifndef SLUICE_SIDECAR_METRICS_H
#define SLUICE_SIDECAR_METRICS_H

#include "base/buf.h"
#include "base/mono.h"
#include "proto/control_info.h"
#include "sidecar/link/uplink.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Counts an answered request. `route` is one of routes_all's; NULL if none matched. */
void metrics_request(struct metrics *m, const struct api_route *route, int status, int64_t took_ns);
/* Counts events of a publish by their outcome. */
void metrics_published(struct metrics *m, enum reason reason, uint64_t events);

/* Appends the metrics of the sidecar itself. */
void metrics_write(const struct metrics *m, const struct uplink *u, uint32_t connections, struct buf *out);

/* ---- the broker's metrics, from its replies to control calls */
void metrics_write_broker(const struct broker_info *b, struct buf *out);

/* Which queues and topics have series of their own: names that match a pattern of `pinned` (shell wildcards *, ?, [];
 * borrowed), and the first `most` other names that were seen since the process started. All others are summed up as
 * "other". */
struct queue_metrics;
struct queue_metrics *queue_metrics_new(uint64_t most, const struct setting_list *pinned);
void queue_metrics_free(struct queue_metrics *m);

/* Has the queue or topic of that name series of its own? Queues and topics share one set of names. May add the name to
 * it. */
bool queue_metrics_has_series(struct queue_metrics *m, const char *name);

/* The queues, or the topics, of one answer to /metrics: added page by page, then written. Several may be under way at
 * once. Freeing NULL is allowed. */
struct queue_collection;
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
