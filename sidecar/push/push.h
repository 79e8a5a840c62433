/* Push: the sidecar POSTs the events of queues to its application, and the answer's status settles them. A subscription
 * has as many slots as its concurrency. Each free slot is a take of one event, in the same FIFO as all takes of the
 * queue, so that no event is fetched before it can be pushed. */
#ifndef SLUICE_SIDECAR_PUSH_H
#define SLUICE_SIDECAR_PUSH_H

#include "sidecar/api/subscription.h"
#include "sidecar/link/uplink.h"

struct push;

/* `app` is the application's name, for the handshake. Both are borrowed and must outlive the result. NULL with a
 * message in *e. */
struct push *push_open(struct uplink *uplink, const char *app, struct error *e);
/* Drops what is under way without settling it: these events are returned when the session ends. */
void push_close(struct push *p);

enum push_put { PUSH_PUT_NEW, PUSH_PUT_SAME, PUSH_PUT_CHANGED, PUSH_PUT_TOO_MANY };
/* Creates a subscription, or changes the one of that name; `settings` are complete. One that has stopped starts again,
 * even with the same settings. `managed`: it comes from the configuration file. `revision`: the broker's; 0 if the
 * broker does not store it. */
enum push_put push_put(struct push *p, const char *name, const struct subscription_settings *settings, bool managed,
                       uint64_t revision);
/* The revision of the newest put; 0 if there is no such subscription or it comes from the configuration file. */
uint64_t push_revision(const struct push *p, const char *name);
/* The settings; NULL, and *managed unchanged, if there is no such subscription. */
const struct subscription_settings *push_settings(const struct push *p, const char *name, bool *managed);
/* Deletes a subscription: no new pushes; those under way are still settled by their answers. False if there is none. */
bool push_delete(struct push *p, const char *name);

/* False if there is no such subscription. *out is valid until the next call to push. */
bool push_info(const struct push *p, const char *name, mono_t now, struct subscription_info *out);
/* The first `most` subscriptions whose names come after `after`, sorted by name. Returns how many. */
size_t push_list(const struct push *p, const char *after, size_t most, mono_t now, struct subscription_info *out);
size_t push_count(const struct push *p);
void push_write_metrics(const struct push *p, mono_t now, struct buf *out);

/* ---- drain: no new pushes; those under way go on. Call before uplink_drain. */
void push_drain(struct push *p);

/* ---- for the event loop: one descriptor to poll (level-triggered) */
int push_fd(const struct push *p);
/* True if the uplink has something to send because of this run. */
bool push_run(struct push *p, struct now now);
/* When to call push_run at the latest. */
mono_t push_due(const struct push *p);

#endif
