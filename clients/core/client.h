/* The client's side of the session protocol, sans-I/O: one session with one broker, attached and kept attached.
 *
 * The owner moves bytes and time: it calls inputs (what arrived, what the program wants), and carries out effects. The
 * ZeroMQ binding (binding.h) is one owner, the simulator another. Pure: no socket, clock or thread.
 *
 * What a publish is told is exact (docs/protocol.md, B): confirmed; refused for a reason; or unknown, when nobody can
 * know any more. Exactly one of these comes for every entry.
 *
 * Threads: none; one owner. Callbacks run inside inputs and must not free the client; they may call its commands. */
#ifndef SLUICE_CLIENT_H
#define SLUICE_CLIENT_H

#include "proto/control.h"
#include "proto/link.h"

struct client;

struct client_config {
    const char *name;      /* for people: "orders-7f9c" */
    uint8_t seed[32];      /* randomness: producer id, request ids, jitter */
    const char *inbox;     /* told to the broker: tcp://[*]:PORT, ipc://PATH, inproc://NAME */
    uint64_t buffer_bytes; /* publishes kept here while the broker is away or the window is full; 16 MiB */
    uint32_t frame_bytes;  /* frames of publishes and settlements are sealed at about this size; 64 KiB */
    const char *no_answer; /* what to add when a broker does not answer: a hint; NULL: none */
    const char *secret_key_file, *broker_key_file; /* the binding's: CURVE over tcp; both or none */
    /* 0: everything goes out at client_flush; else publishes and acks wait for the next multiple of it on the monotonic
     * clock, at which all clients of a machine send together. */
    int64_t linger_ms;
};

/* Why an entry's outcome came: REASON_ok with a sequence; REASON_unknown: may have been accepted; else refused. */
struct client_outcome {
    enum reason reason;
    uint64_t sequence;        /* when accepted: the queue's sequence of this entry */
    uint32_t flags;           /* RUN_DURABLE, RUN_DUPLICATE */
    uint64_t depth, capacity; /* when full */
    uint32_t retry_after_ms;
    const char *queue; /* of a topic's queues the one that refused; "" otherwise */
    /* With RUN_TOPIC in flags, accepted by a topic: the queues that have it, targets[i].sequence + sequence of each. Valid
     * during the callback. */
    const struct target *targets;
    size_t target_count;
};

/* One delivered event, valid during the callback only. */
struct client_delivery {
    const char *queue; /* one pointer for one queue, for as long as the client lives */
    uint64_t consumer_epoch;
    uint64_t fence;    /* the fencing token: the epoch, or more where the queue has partitions */
    uint64_t delivery; /* number; what client_settle takes */
    uint64_t sequence;
    uint32_t attempt;
    uint32_t lease_ms;
    struct span receipt; /* of its batch; the event's own is "RECEIPT.INDEX" */
    uint64_t receipt_index;
    struct span event; /* io.cloudevents.v1.CloudEvent bytes */
};

/* Effects and events. Every member is required. `ctx` is client_new's. */
struct client_handler {
    /* -- effects */
    void (*control_open)(void *ctx);                      /* connect (again) the DEALER; drop what it held */
    void (*control_send)(void *ctx, struct span message); /* to the control DEALER; may be lost */
    void (*ingress_open)(void *ctx,
                         const char *endpoint); /* a new PUSH to the ingress; close the older one. tcp://[*]:PORT
                                                             means the host of the control endpoint */
    void (*ingress_send)(void *ctx, struct frame *frame); /* a share of the frame passes to the callee; may be lost */
    /* -- the session */
    void (*attached)(void *ctx, bool resumed);
    void (*away)(void *ctx, const char *why); /* lost, or could not attach; it keeps trying */
    /* -- publishing: exactly one outcome per entry, `cookie` and index as given to client_publish */
    void (*outcome)(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o);
    /* `count` neighbouring entries; sequences are dense */
    /* -- consuming */
    void (*turn)(void *ctx, const char *queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                 enum reason reason);
    void (*delivery)(void *ctx, const struct client_delivery *d);
    void (*idle)(void *ctx, const char *queue, uint64_t generation);
    void (*settled)(void *ctx, const char *queue, uint64_t consumer_epoch, uint64_t first, uint64_t count,
                    enum settle_result result);
    void (*receipt_settled)(void *ctx, uint64_t request, enum settle_result result);
    /* -- control calls */
    void (*replied)(void *ctx, void *cookie, const struct reply *reply); /* valid during the callback */
};

struct client *client_new(const struct client_config *config, const struct client_handler *handler, void *ctx,
                          struct now now);
/* Frees everything without another callback. */
void client_free(struct client *c);

/* ---- inputs */

/* Most bytes of a reply, and of what it becomes when it is unpacked: the answer to an attach tells outcomes of all
 * destinations of a producer, 65,536 names at most. */
#define CLIENT_REPLY_MAX (64u << 20)
void client_control_in(struct client *c, struct span message, struct now now);
void client_frame_in(struct client *c, struct span frame, struct now now);
void client_tick(struct client *c, struct now now);
/* Seals what the commands produced into frames. Call once a loop turn. */
void client_flush(struct client *c, struct now now);
/* When client_tick (or, with a linger, client_flush) wants to be called next. */
mono_t client_due(const struct client *c);
/* Publishes or acks wait for the end of a linger, and client_due comes no later: until then others may wait with them. */
bool client_lingers(const struct client *c);
/* Ends a linger: the next flush sends what waits. */
void client_end_linger(struct client *c);
/* The same, and none begins any more. */
void client_disable_linger(struct client *c);

/* ---- commands. All may be called while away: they hold until attached. */

/* Publishes `count` events to one queue as one batch (admission is a prefix). The events are copied. wait_ms: how long
 * they may wait for room; 0 tries once. At the deadline the client gives up (Skip) and, when no answer comes within 1 s,
 * reports REASON_unknown; entries never sent report REASON_unavailable (broker away) or REASON_full (window full).
 * False, and no outcome ever comes, when buffer_bytes would be passed or an event exceeds the broker's max_event
 * (*why: REASON_busy, REASON_too_large). */
bool client_publish(struct client *c, struct span queue, const struct span *events, uint32_t count, uint32_t wait_ms,
                    void *cookie, struct now now, enum reason *why);
/* The same, of events that the queue shall take once: hashes[i] (copied) is the event's event_hash, all zeros where its id was made
 * up. The outcome of one that the queue has taken before is the first one's, with RUN_DUPLICATE. */
bool client_publish_once(struct client *c, struct span queue, const struct span *events,
                         const uint8_t (*hashes)[EVENT_HASH_SIZE], uint32_t count, uint32_t wait_ms, void *cookie,
                         struct now now, enum reason *why);
/* The same, each event on terms of its own (copied; docs/protocol.md, C.10). hashes and terms may be NULL. */
bool client_publish_on(struct client *c, struct span queue, const struct span *events,
                       const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                       uint32_t wait_ms, void *cookie, struct now now, enum reason *why);
/* The same, to a topic and nothing else (any destination may be one): refused with unknown_topic otherwise. */
bool client_publish_topic(struct client *c, struct span topic, const struct span *events,
                          const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                          uint32_t wait_ms, void *cookie, struct now now, enum reason *why);
/* The same without a copy, of one event that is written where it will lie: room for `most` bytes, or NULL when that is more than
 * a few KiB or the name is not valid; then, with nothing called in between, what was written there is published to that queue.
 * `hash`: as above, or NULL. */
uint8_t *client_reserve(struct client *c, struct span queue, size_t most);
bool client_publish_reserved(struct client *c, size_t size, const uint8_t *hash, uint32_t wait_ms, void *cookie,
                             struct now now, enum reason *why);
/* The publisher no longer cares: nothing is called for `cookie` any more; what was sent takes its course. */
void client_publish_forget(struct client *c, void *cookie);

/* Starts consuming: answered by `turn`. Consuming twice is one consumption. */
void client_consume(struct client *c, struct span queue);
/* Stops: deliveries not settled go back at once. Later deliveries of it are released unseen. */
void client_leave(struct client *c, struct span queue);
/* Demand: `wanted` more deliveries than have come so far (absolute limit and generation are kept inside). Lowering
 * raises the generation; what comes above the limit after that is released unseen. Returns the generation. */
uint64_t client_credit(struct client *c, struct span queue, uint64_t wanted);
/* Settles deliveries of the current consumption, by number. Answered by `settled`. */
void client_settle(struct client *c, struct span queue, uint64_t consumer_epoch, const struct settle *settle);
/* The same for the ack of one that is being handed over: next to nothing where the one before it was acked, too. */
void client_ack(struct client *c, const struct client_delivery *d);
/* Settles by receipt text, anybody's. Answered by `receipt_settled` with the returned request number (the one
 * in `ack` does not count); while away it waits, and after CLIENT_SETTLE_MS answers SETTLED_UNKNOWN. */
#define CLIENT_SETTLE_MS 5000
uint64_t client_settle_receipt(struct client *c, const struct receipt_ack *ack, struct now now);

/* A control call other than attach; r->id is set inside. Held while away, then repeated under the same id until answered;
 * after timeout_ms `replied` is called with REASON_unavailable (not answered; while never attached since, never sent). */
void client_call(struct client *c, const struct request *r, void *cookie, int64_t timeout_ms, struct now now);
/* Nothing is called for `cookie` any more. */
void client_call_forget(struct client *c, void *cookie);

/* Orderly end: leaves every queue, says Bye; client_flush sends it. */
void client_bye(struct client *c, struct now now);
/* It was said, or there is nobody to say it to. */
bool client_has_said_bye(const struct client *c);

/* ---- looking */
bool client_is_attached(const struct client *c);
/* Why it is not attached, a sentence; "" when it is. */
const char *client_attach_error(const struct client *c);
struct client_stats {
    uint64_t undecided_events, undecided_bytes; /* published, no outcome yet */
    uint64_t confirmed, refused, unknown, delivered, attaches, resumes, frames_out, frames_in, resent;
    int64_t rtt_ms;
    uint64_t incarnation; /* the broker's */
};
void client_stats(const struct client *c, struct client_stats *out);
/* Events published and not yet decided: 0 means everything is known. */
bool client_is_quiet(const struct client *c);

#endif
