/* The client's side of the session protocol, sans-I/O: one session with one broker, attached and kept attached.
 *
 * The owner moves bytes and time: it passes in what arrived and what the program wants (inputs and commands), and
 * carries out effects through the handler. The ZeroMQ binding (binding.h) is one owner, the simulator another. Pure: no
 * socket, clock or thread.
 *
 * The outcome of a publish is exact (docs/protocol.md, B): confirmed, refused for a reason, or unknown when nobody can
 * tell any more. Every entry gets exactly one outcome.
 *
 * Threads: one owner, no locks. Callbacks run inside inputs; they must not free the client, but may call its
 * commands. */
#ifndef SLUICE_CLIENT_H
#define SLUICE_CLIENT_H

#include "proto/control.h"
#include "proto/link.h"

struct client;

struct client_config {
    const char *name;      /* shown to people: "orders-7f9c" */
    uint8_t seed[32];      /* randomness: producer id, request ids, jitter */
    const char *inbox;     /* what the broker dials: tcp://[*]:PORT, ipc://PATH, inproc://NAME */
    uint64_t buffer_bytes; /* most bytes of publishes without an outcome; 0: 16 MiB */
    uint32_t frame_bytes;  /* frames of publishes and settlements are sealed at about this size; 0: 64 KiB */
    const char *no_answer; /* a hint appended to "the broker does not answer"; NULL: none */
    const char *secret_key_file, *broker_key_file; /* used by the binding: CURVE over tcp; both or neither */
    /* 0: client_flush sends everything. Otherwise publishes and acks wait for the next multiple of linger_ms on the
     * monotonic clock, at which all clients of a machine send together. */
    int64_t linger_ms;
};

/* An entry's outcome. REASON_ok: accepted; REASON_unknown: may have been accepted; any other reason: refused. */
struct client_outcome {
    enum reason reason;
    uint64_t sequence;        /* when accepted: the queue's sequence of this entry */
    uint32_t flags;           /* RUN_DURABLE, RUN_DUPLICATE */
    uint64_t depth, capacity; /* when full */
    uint32_t retry_after_ms;
    const char *queue; /* the queue of a topic that refused; "" otherwise */
    /* With RUN_TOPIC in flags, accepted by a topic: the queues that have the event, in each under the sequence
     * targets[i].sequence + sequence. Valid during the callback. */
    const struct target *targets;
    size_t target_count;
};

/* One delivered event, valid during the callback only. */
struct client_delivery {
    const char *queue; /* the same pointer for the same queue, as long as the client lives */
    uint64_t consumer_epoch;
    uint64_t fence;    /* the fencing token: the epoch, or more where the queue has partitions */
    uint64_t delivery; /* the delivery's number, for client_settle */
    uint64_t sequence;
    uint32_t attempt;
    uint32_t lease_ms;
    struct span receipt; /* of its batch; the event's own is "RECEIPT.INDEX" */
    uint64_t receipt_index;
    struct span event; /* io.cloudevents.v1.CloudEvent bytes */
};

/* Effects to carry out, and events to react to. Every member is required. `ctx` is client_new's. */
struct client_handler {
    /* -- effects */
    void (*control_open)(void *ctx);                      /* (re)connect the DEALER; drop what it still held */
    void (*control_send)(void *ctx, struct span message); /* to the control DEALER; may be lost */
    void (*ingress_open)(void *ctx,
                         const char *endpoint);           /* a new PUSH to the ingress; close the older one. The host of
                                                             tcp://[*]:PORT is the control endpoint's */
    void (*ingress_send)(void *ctx, struct frame *frame); /* the callee takes over one reference; may be lost */
    /* -- the session */
    void (*attached)(void *ctx, bool resumed);
    void (*away)(void *ctx, const char *why); /* the session was lost, or attaching failed; the client keeps trying */
    /* -- publishing: exactly one outcome per entry, `cookie` as given to client_publish. One call reports `count`
     * entries from `index` on, whose sequences are consecutive. */
    void (*outcome)(void *ctx, void *cookie, uint32_t index, uint32_t count, const struct client_outcome *o);
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

/* Most bytes of a reply, packed or unpacked: the answer to an attach lists outcomes of all destinations of a
 * producer, at most 65,536 names. */
#define CLIENT_REPLY_MAX (64u << 20)
void client_control_in(struct client *c, struct span message, struct now now);
void client_frame_in(struct client *c, struct span frame, struct now now);
void client_tick(struct client *c, struct now now);
/* Seals what the commands produced into frames. Call once per loop turn. */
void client_flush(struct client *c, struct now now);
/* When to call client_tick (or, with a linger, client_flush) next. */
mono_t client_due(const struct client *c);
/* True while publishes or acks wait for the end of a linger. client_due is no later than that end, so callers may add
 * more until then without waking the owner. */
bool client_lingers(const struct client *c);
/* Ends the current linger: the next flush sends everything. */
void client_end_linger(struct client *c);
/* Ends the current linger and allows no further one. */
void client_disable_linger(struct client *c);

/* ---- commands. All may be called while not attached; they take effect once attached. */

/* Publishes `count` events to one queue as one batch, of which the broker accepts a prefix. The events are copied.
 * wait_ms: how long they may wait for room; 0 tries once. At the deadline the client gives up (sends a Skip) and, if
 * no answer comes within 1 s, reports REASON_unknown. Entries that were never sent report REASON_unavailable (not
 * attached) or REASON_full (window full). Returns false, without any outcome, and sets *why: REASON_busy if
 * buffer_bytes would be exceeded, REASON_too_large if an event exceeds the broker's max_event, REASON_invalid for a
 * bad name or count 0. */
bool client_publish(struct client *c, struct span queue, const struct span *events, uint32_t count, uint32_t wait_ms,
                    void *cookie, struct now now, enum reason *why);
/* As client_publish, with deduplication: hashes[i] (copied) is event i's event_hash, or all zeros if its id was
 * generated. An event that the queue has accepted before gets the first one's outcome, with RUN_DUPLICATE. */
bool client_publish_once(struct client *c, struct span queue, const struct span *events,
                         const uint8_t (*hashes)[EVENT_HASH_SIZE], uint32_t count, uint32_t wait_ms, void *cookie,
                         struct now now, enum reason *why);
/* As client_publish_once, with delivery terms for each event (copied; docs/protocol.md, B.10). hashes and terms may be
 * NULL. */
bool client_publish_on(struct client *c, struct span queue, const struct span *events,
                       const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                       uint32_t wait_ms, void *cookie, struct now now, enum reason *why);
/* As client_publish_on, but refused with unknown_topic unless the destination is a topic. (The other calls publish to
 * queues and topics alike.) */
bool client_publish_topic(struct client *c, struct span topic, const struct span *events,
                          const uint8_t (*hashes)[EVENT_HASH_SIZE], const struct client_terms *terms, uint32_t count,
                          uint32_t wait_ms, void *cookie, struct now now, enum reason *why);
/* Publishes one event without copying it. client_reserve returns room for `most` bytes in which to write the event,
 * or NULL if that is more than 4 KiB or the name is not valid. client_publish_reserved, called with nothing else in
 * between, publishes the `size` bytes written there to that queue. `hash`: as above, or NULL. */
uint8_t *client_reserve(struct client *c, struct span queue, size_t most);
bool client_publish_reserved(struct client *c, size_t size, const uint8_t *hash, uint32_t wait_ms, void *cookie,
                             struct now now, enum reason *why);
/* Nobody waits for what was published with `cookie` any more: its undecided entries are treated from the next tick on
 * as if their deadline had passed, and have their outcomes soon. */
void client_publish_end_wait(struct client *c, void *cookie);

/* Starts consuming a queue; answered by `turn`. Does nothing if the queue is being consumed already. */
void client_consume(struct client *c, struct span queue);
/* Stops consuming: unsettled deliveries return to the queue at once, and later ones without being shown. */
void client_leave(struct client *c, struct span queue);
/* Sets the demand to `wanted` more deliveries than have arrived so far; the client keeps the absolute limit. Every
 * change raises the generation, which is returned. Deliveries above the limit are released without being shown. */
uint64_t client_credit(struct client *c, struct span queue, uint64_t wanted);
/* Settles deliveries of the current consumption, by number. Answered by `settled`. */
void client_settle(struct client *c, struct span queue, uint64_t consumer_epoch, const struct settle *settle);
/* Acks the delivery being handed over. Cheap if the one before it was acked too. */
void client_ack(struct client *c, const struct client_delivery *d);
/* Settles any session's delivery by its receipt text. Answered by `receipt_settled` with the returned request number
 * (`ack->request` is ignored). Waits while not attached; after CLIENT_SETTLE_MS the answer is SETTLED_UNKNOWN. */
#define CLIENT_SETTLE_MS 5000
uint64_t client_settle_receipt(struct client *c, const struct receipt_ack *ack, struct now now);

/* Makes a control call other than attach; r->id is set inside. Held while not attached, then repeated under the same
 * id until answered. After timeout_ms without an answer, `replied` is called with REASON_unavailable; a call made
 * while not attached was then never sent, unless the client has attached since. */
void client_call(struct client *c, const struct request *r, void *cookie, int64_t timeout_ms, struct now now);
/* Reports nothing more for `cookie`. */
void client_call_forget(struct client *c, void *cookie);

/* Orderly end: leaves every queue and queues a Bye, which client_flush sends. */
void client_bye(struct client *c, struct now now);
/* The Bye was sent, or the client is not attached. */
bool client_has_said_bye(const struct client *c);

/* ---- looking */
bool client_is_attached(const struct client *c);
/* A sentence that says why the client is not attached; "" when it is. */
const char *client_attach_error(const struct client *c);
struct client_stats {
    uint64_t undecided_events, undecided_bytes; /* published, no outcome yet */
    uint64_t confirmed, refused, unknown, delivered, attaches, resumes, frames_out, frames_in, resent;
    int64_t rtt_ms;
    uint64_t incarnation; /* the broker's */
};
void client_stats(const struct client *c, struct client_stats *out);
/* True when every published event has its outcome. */
bool client_is_quiet(const struct client *c);

#endif
