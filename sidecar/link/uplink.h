/* The sidecar's one session with the broker: what HTTP requests want of it, and the answers. One thread owns it; nothing
 * blocks. Each request is a pointer that comes back in exactly one answer, unless uplink_forget was called for it. */
#ifndef SLUICE_SIDECAR_UPLINK_H
#define SLUICE_SIDECAR_UPLINK_H

#include "clients/core/client.h"
#include "sidecar/api/api.h"

struct uplink;

struct uplink_config {
    const char *broker;
    const char *inbox;                             /* NULL: made up */
    const char *name;                              /* for people */
    uint64_t buffer_bytes;                         /* publishes held while the broker is away */
    uint64_t take_bytes;                           /* a take is full at about this size */
    const char *secret_key_file, *broker_key_file; /* CURVE; NULL: none */
    int64_t turn_idle_ms; /* the queue is left after so long without a take or an unsettled event */
};

/* What a take ends with. `reason` not ok: it failed, there are no events. Valid during the call. */
struct uplink_taken {
    const struct api_taken *events;
    size_t count;
    bool standby;
    uint64_t consumer_epoch; /* 0 when not active */
    enum reason reason;
};

struct uplink_handler {
    void (*published)(void *request, const struct api_outcome *outcomes);
    void (*taken)(void *request, const struct uplink_taken *taken);
    /* Is whoever sent the take still there? Asked before events are given to it. */
    bool (*alive)(void *request);
    void (*settled)(void *request, const enum settle_result *results);
    void (*replied)(void *request, const struct reply *reply);
    /* An event that this take was given is settled, or is no longer its own (its lease ended, the turn was lost). Nothing may be
     * asked of the uplink from within. NULL: nobody wants to know. */
    void (*lease_ended)(void *request, struct span receipt);
};

/* NULL with a sentence when the inbox cannot be bound or the endpoint is none. `zmq` is borrowed. */
struct uplink *uplink_open(void *zmq, const struct uplink_config *config, const struct uplink_handler *handler,
                           struct error *e);
void uplink_close(struct uplink *u);

/* REASON_ok: `published` will be called. Else it was refused as a whole and will not. */
enum reason uplink_publish(struct uplink *u, const char *queue, const struct api_event *events, size_t count,
                           uint32_t wait_ms, void *request, struct now now);
/* The same to a topic. */
enum reason uplink_publish_topic(struct uplink *u, const char *topic, const struct api_event *events, size_t count,
                                 uint32_t wait_ms, void *request, struct now now);
void uplink_take(struct uplink *u, const char *queue, uint32_t max, int64_t wait_ms, void *request, struct now now);
/* The same for one who is told by that handler's `taken`, `alive` and `lease_ended`, the only ones called. It stands in the same line. */
void uplink_take_by(struct uplink *u, const struct uplink_handler *by, const char *queue, uint32_t max, int64_t wait_ms,
                    void *request, struct now now);
/* With a NULL request nobody is told; it is asked again where the broker is silent, as long as the event is ours. */
void uplink_settle(struct uplink *u, const struct receipt_ack *acks, size_t count, void *request, struct now now);
/* An event that was taken could not be handed over: it goes back uncounted. */
void uplink_release(struct uplink *u, struct span receipt, struct now now);
/* An event that was taken is its taker's no longer: `lease_ended` will not be called for it. */
void uplink_disown(struct uplink *u, struct span receipt);
void uplink_call(struct uplink *u, const struct request *call, void *request, int64_t timeout_ms, struct now now);
/* Calls `published` now, with REASON_unknown for what is not decided, or `settled`, with SETTLED_UNKNOWN; that goes on. False: the request
 * is nothing of that kind, or waits no more. */
bool uplink_abandon(struct uplink *u, void *request);
/* Nothing is called for the request any more. */
void uplink_forget(struct uplink *u, void *request);

/* ---- the loop's part; as binding.h says */
void uplink_fds(const struct uplink *u, int *control_fd, int *inbox_fd);
void uplink_heard(struct uplink *u, bool control, bool inbox);
bool uplink_run(struct uplink *u, struct now now);
mono_t uplink_due(const struct uplink *u);

/* ---- drain: takes are refused from now on; queues are left as soon as what was handed out is settled */
void uplink_drain(struct uplink *u, struct now now);
/* Every queue is left. */
bool uplink_is_drained(const struct uplink *u);
/* Every publish is decided. */
bool uplink_is_quiet(const struct uplink *u);
/* Gives up what is still held and says goodbye; uplink_run sends it. */
void uplink_bye(struct uplink *u, struct now now);
bool uplink_has_said_bye(const struct uplink *u);

/* ---- looking */
bool uplink_is_attached(const struct uplink *u);
/* Is the queue's turn another session's, and this one waits for it? */
bool uplink_is_standby(const struct uplink *u, const char *queue);
const char *uplink_trouble(const struct uplink *u);
struct uplink_stats {
    struct client_stats client;
    uint64_t waiting_takes, held_events, queues; /* now */
    uint64_t taken_events;                       /* ever */
};
void uplink_stats(const struct uplink *u, struct uplink_stats *out);
const char *uplink_inbox(const struct uplink *u);

#endif
