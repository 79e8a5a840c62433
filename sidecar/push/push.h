/* Push: the sidecar POSTs the events of queues to its application, and the status decides. A subscription has as many slots
 * as its concurrency; each free one is a take of one event, in the line of all takes of its queue, so that nothing is
 * fetched that nobody can have now. */
#ifndef SLUICE_SIDECAR_PUSH_H
#define SLUICE_SIDECAR_PUSH_H

#include "sidecar/api/subscription.h"
#include "sidecar/link/uplink.h"

struct push;

/* `app` is the application's name (of the handshake; borrowed); `uplink` is borrowed and outlives it. */
struct push *push_open(struct uplink *uplink, const char *app, struct error *e);
/* Ends what is under way without a word: the events go back with the session. */
void push_close(struct push *p);

/* What a put came to. */
enum push_put { PUSH_PUT_NEW, PUSH_PUT_SAME, PUSH_PUT_CHANGED, PUSH_PUT_TOO_MANY };
/* Makes a subscription, or lets one go on under these settings (complete): also one that has stopped. `revision`: as the
 * broker counts; 0: it does not keep it. */
enum push_put push_put(struct push *p, const char *name, const struct subscription_settings *settings, bool managed,
                       uint64_t revision);
/* Of its newest put; 0: there is none of that name, or it is the configuration file's. */
uint64_t push_revision(const struct push *p, const char *name);
/* Its settings; NULL: there is none of that name. *managed: by the configuration file. */
const struct subscription_settings *push_settings(const struct push *p, const char *name, bool *managed);
/* Nothing new is pushed; what is under way ends as it ends. False: there is none. */
bool push_delete(struct push *p, const char *name);

/* False: there is none of that name. Valid until the next call. */
bool push_info(const struct push *p, const char *name, mono_t now, struct subscription_info *out);
/* The first `most` of those whose names are behind `after`, in order; how many. */
size_t push_list(const struct push *p, const char *after, size_t most, mono_t now, struct subscription_info *out);
size_t push_count(const struct push *p);
void push_write_metrics(const struct push *p, mono_t now, struct buf *out);

/* ---- drain: nothing new is pushed; what is under way goes on. Call before uplink_drain. */
void push_drain(struct push *p);

/* ---- the loop's part: one descriptor to poll (level-triggered) */
int push_fd(const struct push *p);
/* True when something was done that the uplink has to send. */
bool push_run(struct push *p, struct now now);
mono_t push_due(const struct push *p);

#endif
