/* libsluice: publish to and consume from Sluice queues in C, without a sidecar.
 *
 *   struct sluice *s = sluice_connect("tcp://127.0.0.1:7400", NULL, NULL);
 *   uint64_t sequence;
 *   if (sluice_publish_wait(s, "orders", &event, 1000, &sequence) != SLUICE_OK) ...
 *
 * Threads: a connection is one session with the broker, run by two threads of the library. Every function may be called
 * from any thread. Callbacks of a connection run one at a time, on either of its threads: they must not block, and may
 * call every function but sluice_publish_wait and sluice_close, which return SLUICE_INVALID there. After a fork the
 * connection belongs to the parent; the child must not use it, not even to close it.
 *
 * NULL: a connection that is NULL, as a failed sluice_connect returned it, is accepted everywhere: publishing returns
 * SLUICE_INVALID, subscribing returns NULL, everything else does nothing. A NULL subscription may be unsubscribed;
 * settling (sluice_ack and the like) needs a real one.
 *
 * Ownership: a call borrows its arguments until it returns; what a callback is given lives until the callback returns,
 * unless said otherwise. Close every connection with sluice_close, which also ends its subscriptions.
 *
 * Errors are the numbers of proto/reasons.def (SLUICE_OK = 0); sluice_strerror describes one. All times are in
 * milliseconds. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

/* The errors that a program may want to tell apart; others exist, see sluice_strerror. */
enum sluice_error {
    SLUICE_OK = 0,
    SLUICE_FULL = 1,        /* the queue had no room within the wait; nothing was accepted: retry later */
    SLUICE_BUDGET = 2,      /* the same, of the whole broker's memory budget */
    SLUICE_CLOSED = 4,      /* the queue is closed to publishers */
    SLUICE_NO_CONSUMER = 5, /* the queue accepts events only while it has a consumer, and it has none */
    SLUICE_UNROUTED = 6,    /* the topic has no bound queue whose filter matches the event */
    SLUICE_DISK = 7,        /* as SLUICE_FULL, of the broker's disk or its disk_budget */
    SLUICE_UNKNOWN_QUEUE = 8,
    SLUICE_TOO_LARGE = 10,
    SLUICE_UNKNOWN = 11,       /* may or may not have been accepted: retry with the same id and source */
    SLUICE_UNAVAILABLE = 12,   /* the broker cannot be reached; nothing was accepted */
    SLUICE_INVALID = 14,       /* an argument is not valid; sluice_strerror names it */
    SLUICE_UNKNOWN_TOPIC = 38, /* sluice_publish_on to a topic: there is no topic of that name */
    SLUICE_BUSY = 34,          /* this client's buffer is full; retry after an outcome has arrived */
};

struct sluice;     /* a connection */
struct sluice_sub; /* a subscription */

/* ---- connecting */

/* Zeroed: all defaults. */
struct sluice_options {
    const char *name;        /* shown to people, and the default source of events; UTF-8. NULL: "PROGRAM/PID" */
    const char *inbox;       /* endpoint to bind. NULL: any free port, or a path beside an ipc broker's */
    int64_t connect_wait_ms; /* how long sluice_connect waits for the broker; 0: 5,000; < 0: it does not wait */
    size_t buffer_bytes;     /* most bytes of publishes without an outcome; 0: 16 MiB */
    /* Publishes and acks are held until the next multiple of linger_ms on the machine's monotonic clock, at which all
     * processes with the same linger send together. 0: sent at once; at most one day. The wait ends early when
     * buffer_bytes are used up. Keep it well below the leases of the queues consumed: an event stays leased while its
     * ack lingers. */
    int64_t linger_ms;
    /* CURVE, for a broker that asks for keys (see `sluice keygen`): files with this client's secret key and the
     * broker's public key. Both or neither; not used over ipc. */
    const char *secret_key_file, *broker_key_file;
};

/* Connects to the broker at tcp://HOST:PORT or ipc:///PATH and attaches a session. Blocks for at most connect_wait_ms.
 * options: NULL for all defaults. error: NULL, or a buffer of at least 256 bytes.
 * Returns the connection, to be freed with sluice_close. Returns NULL on failure, with a sentence in `error`: an
 * argument is not valid, the inbox cannot be bound, or no broker attached in time. With connect_wait_ms < 0 it returns
 * as soon as the local part is set up, and the library keeps trying to attach. */
SLUICE_API struct sluice *sluice_connect(const char *broker, const struct sluice_options *options, char *error);

/* Closes the connection: sends what still lingers, waits up to wait_ms (<= 0: does not wait) for the outcomes of
 * publishes, ends the subscriptions, says goodbye to the broker and frees `s`. Publishes that have no outcome by then
 * get SLUICE_UNKNOWN. Calls of sluice_publish_wait and sluice_unsubscribe that are blocked in other threads return
 * first; no other call may be under way, and none may follow.
 * Returns SLUICE_OK; SLUICE_UNKNOWN if some publishes got no outcome; SLUICE_INVALID, with nothing done, in a callback.
 * NULL is allowed. */
SLUICE_API int sluice_close(struct sluice *s, int64_t wait_ms);

/* ---- publishing */

/* A CloudEvent to publish. Zero and NULL select the defaults given here. */
struct sluice_event {
    /* NULL: a random UUID. If you give one, a queue accepts an event of the same source and id once within its
     * dedup_window; publishing it again is confirmed with the first event's sequence. */
    const char *id;
    const char *source;       /* NULL: "/NAME", of the connection's name */
    const char *type;         /* NULL: "sluice.event" */
    const char *subject;      /* NULL: none */
    const char *content_type; /* NULL: none; "application/json", … */
    const void *data;         /* NULL: no data */
    size_t size;
    /* Other attributes: name, value, name, value, NULL; at most 64 pairs. NULL: none. A "time" is not added by itself:
     * give one in RFC 3339 if readers want it. "partitionkey", or else the subject, is the key by which a queue with
     * `ordered: key` or `partitions` orders and divides its events. */
    const char *const *attributes;
};

/* Receives the outcome of one publish: `error` is SLUICE_OK with the event's sequence in its queue, or the reason. An
 * event accepted by a topic has a sequence in each of its queues; `sequence` is 0 then. Called exactly once for each
 * event, on a thread of the library. */
typedef void sluice_confirm_fn(void *context, int error, uint64_t sequence);

/* Publishes to the queue or topic of that name, without waiting: copies the event and returns.
 * wait_ms: how long the event may wait for room in the queue, or for the broker to be reachable; 0 tries once.
 * confirm: called with the outcome, with `context`; may be NULL.
 * Returns SLUICE_OK if the event was taken: then `confirm` will be called. Otherwise it will not:
 *   SLUICE_BUSY         buffer_bytes are used up
 *   SLUICE_TOO_LARGE    encoded, it is larger than buffer_bytes or 4 MiB. The broker's own limit, max_event, is
 *                       reported through `confirm`, or returned if the call is made in a callback.
 *   SLUICE_INVALID      `s` or `event` is NULL; the name is not valid; there are more than 64 pairs of attributes; or
 *                       the event is not a valid CloudEvent: an empty id, source or type, an attribute without a value
 *                       or with a name other than [a-z0-9]+, text that is not UTF-8 or has control characters, …
 *   SLUICE_UNAVAILABLE  the connection is being closed */
SLUICE_API int sluice_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                              sluice_confirm_fn *confirm, void *context);

/* Publishes as sluice_publish does and blocks until the outcome, which it returns. While buffer_bytes are used up it
 * waits for room, for as long as that takes, so it never returns SLUICE_BUSY. *sequence (NULL is allowed) is set when
 * it returns SLUICE_OK. Not for callbacks: returns SLUICE_INVALID there. */
SLUICE_API int sluice_publish_wait(struct sluice *s, const char *queue, const struct sluice_event *event,
                                   uint32_t wait_ms, uint64_t *sequence);

/* What a publish may specify besides its event. Zeroed: as sluice_publish with wait_ms 0. */
struct sluice_publish_options {
    uint32_t wait_ms; /* as in sluice_publish */
    bool topic;       /* the name must be a topic's, else SLUICE_UNKNOWN_TOPIC; false: a queue's or a topic's */
    /* The event is not delivered before this: delay_ms after its acceptance, by the broker's clock, or the time
     * not_before_ms (ms since 1970 UTC; in the past: at once). Give at most one; with neither, the queue's own `delay`
     * applies. */
    uint64_t delay_ms;
    int64_t not_before_ms;
    /* The event is not delivered after this: ttl_ms after this call, by this machine's clock, or the time expires_ms
     * (ms since 1970 UTC). Give at most one; ttl_ms includes delay_ms, and must be longer. The queue's own `ttl` applies
     * as well: the earlier time counts. */
    uint64_t ttl_ms;
    int64_t expires_ms;
};

/* One of a topic's queues that received the event, and the event's sequence there. */
struct sluice_target {
    const char *queue;
    uint64_t sequence;
};

/* The outcome of a publish in full. */
struct sluice_receipt {
    int error;                           /* SLUICE_OK: the event was accepted */
    uint64_t sequence;                   /* in its queue; 0 when it went to a topic: see targets */
    bool durable;                        /* the event is on disk */
    bool duplicate;                      /* a queue had this source and id already; the sequence is the first one's */
    const struct sluice_target *targets; /* of a topic */
    size_t target_count;                 /* 0 of a topic: no queue matched, and the topic is set to drop such events */
    /* When refused: */
    const char *refused_by;   /* the queue of a topic that had no room; "" otherwise */
    uint64_t depth, capacity; /* SLUICE_FULL: of that queue, or of the one published to; 0: not known */
    uint32_t retry_after_ms;  /* when to try again; 0: not known */
};
typedef void sluice_receipt_fn(void *context, const struct sluice_receipt *receipt);

/* Publishes as sluice_publish does, to the queue or topic `to`, with options (NULL: none) and a full receipt.
 * receipt: called exactly once, on a thread of the library, if SLUICE_OK is returned; may be NULL.
 * Returns what sluice_publish returns, and SLUICE_INVALID also when delay_ms and not_before_ms, or ttl_ms and
 * expires_ms, are both given, ttl_ms is not longer than delay_ms, or a time is negative or after the year 9999. */
SLUICE_API int sluice_publish_on(struct sluice *s, const char *to, const struct sluice_event *event,
                                 const struct sluice_publish_options *options, sluice_receipt_fn *receipt,
                                 void *context);

/* Borrowed bytes. */
struct sluice_bytes {
    const void *data;
    size_t size;
};

/* Publishes a batch of `count` CloudEvents that are encoded already (protobuf, io.cloudevents.v1.CloudEvent). They are
 * not checked; ids count as given (see sluice_event.id). Copies them and returns, with the errors of sluice_publish;
 * SLUICE_INVALID also when count is 0 or an event is empty.
 * confirm: called once for each event i with contexts[i], or with NULL if contexts is NULL. */
SLUICE_API int sluice_publish_encoded(struct sluice *s, const char *queue, const struct sluice_bytes *events,
                                      uint32_t count, uint32_t wait_ms, sluice_confirm_fn *confirm, void **contexts);

/* ---- consuming */

/* A delivered event. All it points to lives until the callback returns, except `sub`. */
struct sluice_delivery {
    const char *queue;
    uint64_t sequence;
    uint32_t attempt; /* 1 for the first delivery; from 2 on the event may have been seen before */
    uint64_t token;   /* for sluice_ack and the like; valid until the lease ends */
    /* A fencing token: the next consumer of the event's queue, or of its partition, has a higher one. */
    uint64_t consumer_epoch;
    uint32_t lease_ms;                                       /* counted from its delivery */
    const char *id, *source, *type, *subject, *content_type; /* subject, content_type: NULL when absent */
    const void *data;
    size_t size;
    struct sluice_bytes encoded; /* the whole CloudEvent in protobuf */
    struct sluice_sub *sub;      /* the subscription it came by, for sluice_ack and the like */
};

/* Copies the text of any attribute of the event (time, partitionkey, sluicedeadreason, …) as snprintf does: at most
 * `size` bytes including the NUL; text may be NULL when size is 0. Booleans read true and false, integers are decimal,
 * bytes are base64. Only in the delivery's callback.
 * Returns the length of the whole text, or -1 if the event does not have the attribute. */
SLUICE_API int sluice_attribute(const struct sluice_delivery *delivery, const char *name, char *text, size_t size);

/* Called for each delivered event, on a thread of the library. Return true to ack it at once, false to settle it later
 * (sluice_ack, sluice_nack, …). */
typedef bool sluice_event_fn(void *context, const struct sluice_delivery *delivery);

/* Subscribes to a queue. The queue, or each of its partitions, has one active consumer; the others stand by. If the
 * queue does not exist, the library asks for it again every second until it is declared.
 * credit: most events delivered to this subscription and not settled; 0: 256.
 * Returns the subscription, valid until sluice_close. Returns NULL if the queue's name is not valid, on_event is NULL,
 * this connection subscribes to that queue already, or it is being closed. */
SLUICE_API struct sluice_sub *sluice_subscribe(struct sluice *s, const char *queue, uint32_t credit,
                                               sluice_event_fn *on_event, void *context);

/* Ends a subscription; call it once. Unsettled events return to the queue, and settling them does nothing from then on
 * (`sub` may still be passed until sluice_close). Blocks until its running callback has returned; none runs afterwards.
 * In a callback it does not block, and none runs after that callback. NULL is allowed. */
SLUICE_API void sluice_unsubscribe(struct sluice_sub *sub);

/* ---- settling: sub and token are the delivery's. None of these waits for the broker or reports anything. Settling an
 * event twice, or after its lease has ended, does nothing; in the latter case the event is redelivered. */

/* Done: removes the event from the queue. */
SLUICE_API void sluice_ack(struct sluice_sub *sub, uint64_t token);

/* Failed: counts as a failure and redelivers the event after delay_ms (at most 12 h; 0: the queue's back-off). After
 * the queue's max_deliveries failures the event is dead. */
SLUICE_API void sluice_nack(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms);

/* Not now: redelivers the event after delay_ms (at most 12 h; 0: at once), as another attempt but not as a failure. */
SLUICE_API void sluice_defer(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms);

/* Never: the event is dead at once, with the reason dropped_by_app. */
SLUICE_API void sluice_drop(struct sluice_sub *sub, uint64_t token);

/* Needs more time: the lease now lasts lease_ms from this call on (at most 12 h; 0: the call does nothing). The event
 * stays unsettled and its token valid. */
SLUICE_API void sluice_extend(struct sluice_sub *sub, uint64_t token, uint32_t lease_ms);

/* sluice_nack and sluice_drop with an explanation. status (1 to 65535; 0: none) and error (UTF-8, cut to 250 bytes;
 * NULL: none) stay with the event, for whoever peeks at it, explains it or gets its dead letter. Nothing depends on
 * them. */
SLUICE_API void sluice_nack_because(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms, uint32_t status,
                                    const char *error);
SLUICE_API void sluice_drop_because(struct sluice_sub *sub, uint64_t token, uint32_t status, const char *error);

/* ---- looking */

/* Counts since the connection was opened. */
struct sluice_stats {
    uint64_t confirmed, refused, unknown; /* events published, by outcome; refused: certainly not accepted */
    uint64_t delivered;                   /* events delivered to all subscriptions */
    uint64_t undecided;                   /* events published without an outcome yet */
    uint64_t attaches, resent;            /* sessions attached so far; frames sent again */
    bool attached;                        /* the broker is connected now */
};
/* Fills *out; with zeros if `s` is NULL. What a callback was told is counted shortly after it returns. */
SLUICE_API void sluice_stats(struct sluice *s, struct sluice_stats *out);

/* A sentence that describes an error number. Never NULL. For SLUICE_INVALID it names the wrong argument of this thread's
 * last call that returned it, and is valid until the next such call. */
SLUICE_API const char *sluice_strerror(int error);
/* The library's version, "0.1.0". */
SLUICE_API const char *sluice_version(void);

#ifdef __cplusplus
}
#endif

#endif
