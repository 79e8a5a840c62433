/* The sidecar's own figures, and the Prometheus text of these, of the broker and of its queues. */
#ifndef SLUICE_SIDECAR_METRICS_H
#define SLUICE_SIDECAR_METRICS_H

#include "base/buf.h"
#include "base/mono.h"
#include "proto/control.h"
#include "sidecar/link/uplink.h"

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* A request was answered. `route` is an api_route's pattern, NULL when it never had one. */
void metrics_request(struct metrics *m, const char *route, int status, int64_t took_ns);
/* Events of a publish, by what became of them. */
void metrics_published(struct metrics *m, enum reason reason, uint64_t events);

/* Everything about the sidecar. */
void metrics_write(const struct metrics *m, const struct uplink *u, uint32_t connections, struct buf *out);

/* ---- the broker's, as its control calls tell them */
void metrics_write_broker(const struct broker_info *b, struct buf *out);

/* Queues: collected page by page, then written. The first `most` names that ever came have their own series for the
 * process's life, and so have names matching a pattern (shell's *, ?, []); the rest sum to queue="other". */
struct queue_metrics;
struct queue_metrics *queue_metrics_new(uint64_t most, const struct setting_list *pinned);
void queue_metrics_free(struct queue_metrics *m);
void queue_metrics_begin(struct queue_metrics *m);
void queue_metrics_add(struct queue_metrics *m, const struct queue_info *q);
void queue_metrics_write(struct queue_metrics *m, struct buf *out);

#endif
