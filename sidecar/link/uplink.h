/* The sidecar's one session with the broker: publishes, takes, acks and calls go out, their results come back. One
 * thread owns it; nothing blocks. A request is identified by the caller's pointer, which is passed to exactly one
 * callback, unless uplink_forget is called for it first. */
#ifndef SLUICE_SIDECAR_UPLINK_H
#define SLUICE_SIDECAR_UPLINK_H

#include "clients/core/client.h"
#include "sidecar/api/api.h"

struct uplink;

struct uplink_config {
    const char *broker;
    const char *inbox;                             /* NULL: generated */
    const char *name;                              /* for people */
    uint64_t buffer_bytes;                         /* publishes held while the broker is away */
    uint64_t take_bytes;                           /* a take is full at about this size */
    const char *secret_key_file, *broker_key_file; /* CURVE; NULL: none */
    int64_t turn_idle_ms; /* leave a queue after this long without a waiting take or an unsettled event */
};

/* The result of a take. If `reason` is not REASON_ok it failed and has no events. Valid during the call. */
struct uplink_taken {
    const struct api_taken *events;
    size_t count;
    bool standby;
    uint64_t consumer_epoch; /* 0 when this session is not the active consumer */
    enum reason reason;
};

/* `request` is the pointer that the call was given; all other arguments are valid during the callback. */
struct uplink_handler {
    /* outcomes[i] belongs to events[i]; REASON_unknown: it is not known whether the event was accepted. */
    void (*published)(void *request, const struct api_outcome *outcomes);
    void (*taken)(void *request, const struct uplink_taken *taken);
    /* Is the client that sent the take still connected? Asked before the take is given its first event. */
    bool (*alive)(void *request);
    /* results[i] belongs to acks[i]. */
    void (*settled)(void *request, const enum settle_result *results);
    void (*replied)(void *request, const struct reply *reply);
    /* An event that this take was given has been settled, or its lease ended (it ran out, or the turn was lost). Must
     * not call the uplink. May be NULL. */
    void (*lease_ended)(void *request, struct span receipt);
};

/* `zmq` is borrowed. NULL with a message in *e if the inbox cannot be bound or the broker's endpoint is invalid. */
struct uplink *uplink_open(void *zmq, const struct uplink_config *config, const struct uplink_handler *handler,
                           struct error *e);
void uplink_close(struct uplink *u);

/* REASON_ok: `published` will be called. Any other reason: the whole publish was refused and `published` is not
 * called. */
enum reason uplink_publish(struct uplink *u, const char *queue, const struct api_event *events, size_t count,
                           uint32_t wait_ms, void *request, struct now now);
/* Likewise, to a topic. */
enum reason uplink_publish_topic(struct uplink *u, const char *topic, const struct api_event *events, size_t count,
                                 uint32_t wait_ms, void *request, struct now now);
/* Takes up to `max` events; waits for the first one for at most wait_ms (0: only what the broker has now). */
void uplink_take(struct uplink *u, const char *queue, uint32_t max, int64_t wait_ms, void *request, struct now now);
/* A take that reports to `by` instead: only its `taken`, `alive` and `lease_ended` are called. It waits in the same
 * FIFO as all other takes of the queue. */
void uplink_take_by(struct uplink *u, const struct uplink_handler *by, const char *queue, uint32_t max, int64_t wait_ms,
                    void *request, struct now now);
/* With a NULL `request` no result is reported; instead an ack that the broker does not answer is sent again for as long
 * as this sidecar holds the event's lease. */
void uplink_settle(struct uplink *u, const struct receipt_ack *acks, size_t count, void *request, struct now now);
/* Releases an event that could not be handed over: it returns to the queue and the attempt is not counted. */
void uplink_release(struct uplink *u, struct span receipt, struct now now);
/* Detaches a leased event from the take that got it: `lease_ended` will not be called for it. */
void uplink_disown(struct uplink *u, struct span receipt);
/* A control call; `replied` is called with REASON_unavailable if there is no reply within timeout_ms (client_call). */
void uplink_call(struct uplink *u, const struct request *call, void *request, int64_t timeout_ms, struct now now);
/* Ends the wait of a publish or of acks: calls `published` now, with REASON_unknown for undecided events, or `settled`,
 * with SETTLED_UNKNOWN. Undecided events wait for room no longer, and the acks themselves go on. False if the request is
 * neither, or has been answered already. */
bool uplink_abandon(struct uplink *u, void *request);
/* No callback is called for the request after this. */
void uplink_forget(struct uplink *u, void *request);

/* ---- for the event loop; contracts as in binding.h */
void uplink_fds(const struct uplink *u, int *control_fd, int *inbox_fd);
void uplink_heard(struct uplink *u, bool control, bool inbox);
bool uplink_run(struct uplink *u, struct now now);
mono_t uplink_due(const struct uplink *u);
struct traffic uplink_traffic(const struct uplink *u);

/* ---- drain: from now on takes are refused, and each queue is left as soon as its leased events are settled */
void uplink_drain(struct uplink *u, struct now now);
/* True when every queue has been left. */
bool uplink_is_drained(const struct uplink *u);
/* True when every publish is decided. */
bool uplink_is_quiet(const struct uplink *u);
/* Leaves every queue, leased events or not, and says goodbye; uplink_run sends it. */
void uplink_bye(struct uplink *u, struct now now);
bool uplink_has_said_bye(const struct uplink *u);

/* ---- status */
bool uplink_is_attached(const struct uplink *u);
/* Is another session the queue's active consumer while this one stands by? */
bool uplink_is_standby(const struct uplink *u, const char *queue);
/* Why the session is not attached, one sentence; "" while it is attached or no reason is known. */
const char *uplink_trouble(const struct uplink *u);
struct uplink_stats {
    struct client_stats client;
    uint64_t waiting_takes, held_events, queues; /* now; held: leased and not settled */
    uint64_t taken_events;                       /* since the start */
};
void uplink_stats(const struct uplink *u, struct uplink_stats *out);
const char *uplink_inbox(const struct uplink *u);

#endif
