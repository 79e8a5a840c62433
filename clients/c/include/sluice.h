/* libsluice: publish to and consume from Sluice queues in C, without a sidecar.
 *
 *   struct sluice *s = sluice_connect("tcp://127.0.0.1:7400", NULL, NULL);
 *   uint64_t sequence;
 *   if (sluice_publish_wait(s, "orders", &event, 1000, &sequence) != 0) ...
 *
 * One connection is one session; a thread of the library runs it. Every function may be called from any thread; callbacks
 * run on the library's thread, must not block, and may call any function but sluice_publish_wait and sluice_close (they answer
 * SLUICE_INVALID there). After a fork the connection is the parent's: the child must not use it, not even to close it.
 *
 * What takes a connection or a subscription takes NULL, as a call that failed gave it: publishing answers SLUICE_INVALID, subscribing
 * NULL, and the rest does nothing; but settling wants the subscription that the event came by.
 *
 * Errors are the numbers of proto/reasons.def (SLUICE_OK = 0); sluice_strerror gives a sentence. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_API __attribute__((visibility("default")))

/* The errors a program decides on; others exist, see sluice_strerror. */
enum sluice_error {
    SLUICE_OK = 0,
    SLUICE_FULL = 1,   /* no room within the wait: nothing was accepted; retry later */
    SLUICE_BUDGET = 2, /* the same, of the whole broker */
    SLUICE_CLOSED = 4, /* the queue is closed to publishers */
    SLUICE_NO_CONSUMER = 5,
    SLUICE_UNROUTED = 6, /* no queue bound to the topic takes such events */
    SLUICE_DISK = 7,     /* as SLUICE_FULL, of the broker's disk, or its disk_budget */
    SLUICE_UNKNOWN_QUEUE = 8,
    SLUICE_TOO_LARGE = 10,
    SLUICE_UNKNOWN = 11,       /* may or may not have been accepted: retry with the same id */
    SLUICE_UNAVAILABLE = 12,   /* the broker is away; nothing was accepted */
    SLUICE_INVALID = 14,       /* an argument is wrong */
    SLUICE_UNKNOWN_TOPIC = 38, /* sluice_publish_on to a topic: there is none of that name */
    SLUICE_BUSY = 34,          /* too much is waiting in this client; retry after an outcome */
};

struct sluice;     /* a connection */
struct sluice_sub; /* a subscription */

/* A CloudEvent. Strings are borrowed for the call. Zero and NULL take the default said here. */
struct sluice_event {
    /* NULL: a random UUID. Given: a queue takes an event of the same source and id once within its dedup_window; another one
     * is confirmed with the first one's sequence */
    const char *id;
    const char *source;       /* NULL: the connection's name, as "/NAME" */
    const char *type;         /* NULL: "sluice.event" */
    const char *subject;      /* NULL: none */
    const char *content_type; /* NULL: none; "application/json", … */
    const void *data;
    size_t size;
    /* other attributes: name, value, name, value, NULL; NULL: none. No "time" is added: give one here, in RFC 3339, where readers
     * want it. "partitionkey", or else the subject, is the key by which
     * a queue with `ordered: key` or `partitions` orders and divides its events */
    const char *const *attributes;
};

struct sluice_options {
    const char *name;        /* for people and as source, in UTF-8; NULL: the program's name and pid */
    const char *inbox;       /* endpoint to bind; NULL: any free port, or a path beside an ipc broker's */
    int64_t connect_wait_ms; /* how long sluice_connect waits for the broker; 0: 5,000; < 0: does not wait */
    size_t buffer_bytes;     /* most bytes of undecided publishes; 0: 16 MiB */
    /* Publishes and acks wait for company until the next multiple of it on the machine's monotonic clock, at which all
     * processes with the same linger send together; 0: none; at most a day. It ends early where buffer_bytes are full. To be well
     * below the leases of the queues consumed: an event whose ack lingers is still leased. */
    int64_t linger_ms;
    /* CURVE, for a broker that asks for keys (see `sluice keygen`): files with this client's secret key and the
     * broker's public one. Both or none. */
    const char *secret_key_file, *broker_key_file;
};

/* Connects and attaches. NULL on failure, with a sentence in error (NULL, or at least 256 bytes).
 * options NULL: all defaults. Free with sluice_close. */
SLUICE_API struct sluice *sluice_connect(const char *broker, const struct sluice_options *options, char *error);

/* Waits up to wait_ms for undecided publishes, of which none lingers any more, ends the subscriptions, says goodbye, frees.
 * Publishes still undecided then get SLUICE_UNKNOWN. Returns SLUICE_OK, or SLUICE_UNKNOWN when there were such. NULL is allowed.
 * Who waits in sluice_publish_wait or sluice_unsubscribe comes back first; no other call may be under way, or follow. */
SLUICE_API int sluice_close(struct sluice *s, int64_t wait_ms);

/* What became of a publish: `error` SLUICE_OK with the queue's sequence, or why not. Called exactly once. What went to a topic
 * has a sequence in each of its queues, and 0 is given. */
typedef void sluice_confirm_fn(void *context, int error, uint64_t sequence);

/* Publishes without waiting, to a queue or a topic of that name: copies the event and returns. Returns SLUICE_OK (confirm will be called; may be NULL), or
 * SLUICE_BUSY, SLUICE_TOO_LARGE (than this client's buffer; a broker with a lower limit says so by confirm),
 * SLUICE_INVALID, or SLUICE_UNAVAILABLE in a callback of sluice_close (it will not). wait_ms: how long it may wait for room
 * in the queue, or for the broker. */
SLUICE_API int sluice_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                              sluice_confirm_fn *confirm, void *context);

/* What a publish may say beside its event. Zeroed: as sluice_publish, trying once. */
struct sluice_publish_options {
    uint32_t wait_ms; /* how long it may wait for room in the queue, or for the broker */
    bool topic;       /* the name must be a topic's: else SLUICE_UNKNOWN_TOPIC. false: a queue's or a topic's */
    /* It may be delivered so long after its acceptance, whatever this machine's clock says, or from then on (ms since 1970 UTC; in
     * the past: at once). Not both; the queue's own delay counts where neither is said. */
    uint64_t delay_ms;
    int64_t not_before_ms;
    /* It is delivered no more so long after this call, by this machine's clock, or from then on (ms since 1970 UTC). Not both; the
     * queue's own ttl counts beside it. */
    uint64_t ttl_ms;
    int64_t expires_ms;
};

/* One of a topic's queues that has the event, and its sequence there. */
struct sluice_target {
    const char *queue;
    uint64_t sequence;
};

/* What became of a publish; what it points to lives during the callback only. */
struct sluice_receipt {
    int error;                           /* SLUICE_OK: it is accepted */
    uint64_t sequence;                   /* in its queue; 0: it went to a topic, and targets say where it is */
    bool durable;                        /* it is on disk */
    bool duplicate;                      /* a queue had that source and id already: the sequence is the first one's */
    const struct sluice_target *targets; /* of a topic */
    size_t target_count; /* 0 of a topic: no queue takes such events, and it is configured to drop them */
    /* refused: */
    const char *refused_by;   /* of a topic's queues the one that had no room; "" otherwise */
    uint64_t depth, capacity; /* SLUICE_FULL: of that queue, or of the one it went to; 0: not known */
    uint32_t retry_after_ms;  /* when to try again; 0: not known */
};
typedef void sluice_receipt_fn(void *context, const struct sluice_receipt *receipt);

/* As sluice_publish, on terms: `to` is a queue or a topic; options NULL: none. `receipt` (may be NULL) is called exactly once when
 * SLUICE_OK is returned. SLUICE_INVALID where options contradict each other, too. */
SLUICE_API int sluice_publish_on(struct sluice *s, const char *to, const struct sluice_event *event,
                                 const struct sluice_publish_options *options, sluice_receipt_fn *receipt,
                                 void *context);

/* The blocking form: returns the outcome. While this client's own buffer is full it waits too. sequence may be NULL. */
SLUICE_API int sluice_publish_wait(struct sluice *s, const char *queue, const struct sluice_event *event,
                                   uint32_t wait_ms, uint64_t *sequence);

/* A batch of encoded CloudEvents (protobuf, io.cloudevents.v1.CloudEvent), for those who have them already; they are not
 * checked. Their ids count as given. Copies and returns as sluice_publish does.
 * confirm is called once per event, with contexts[i], or with NULL when contexts is NULL. */
struct sluice_bytes {
    const void *data;
    size_t size;
};
SLUICE_API int sluice_publish_encoded(struct sluice *s, const char *queue, const struct sluice_bytes *events,
                                      uint32_t count, uint32_t wait_ms, sluice_confirm_fn *confirm, void **contexts);

/* A delivered event; everything it points to but `sub` lives during the callback only. */
struct sluice_delivery {
    const char *queue;
    uint64_t sequence;
    uint32_t attempt; /* 1 the first time; >= 2: you may have seen it */
    uint64_t token;   /* for sluice_ack and sluice_nack, valid until the lease ends */
    uint64_t
        consumer_epoch; /* a fencing token: whoever consumes the event's queue, or partition, next has a higher one */
    uint32_t lease_ms;
    const char *id, *source, *type, *subject, *content_type; /* subject, content_type: NULL when absent */
    const void *data;
    size_t size;
    struct sluice_bytes encoded; /* the whole CloudEvent */
    struct sluice_sub *sub;      /* what it came by, and is settled by */
};

/* Writes an attribute's text, of whatever the event has (time, partitionkey, sluicedeadreason, …), as snprintf does: cut to size
 * bytes with the NUL; text may be NULL where size is 0. Returns the whole text's length, or -1: the event does not have it. Booleans are
 * true and false, integers decimal, bytes base64. During the delivery's callback only. */
SLUICE_API int sluice_attribute(const struct sluice_delivery *delivery, const char *name, char *text, size_t size);

/* Called for each event. Return true to ack it at once, false to settle it later with sluice_ack or sluice_nack. */
typedef bool sluice_event_fn(void *context, const struct sluice_delivery *delivery);

/* Subscribes: the library keeps up to `credit` events unsettled (0: 256). The queue, or each of its partitions, has one
 * active consumer; others stand by. A queue that is not there is asked for again each second, and nothing comes before it was
 * declared. Returns NULL when an argument is wrong, or this connection subscribes to that queue already. */
SLUICE_API struct sluice_sub *sluice_subscribe(struct sluice *s, const char *queue, uint32_t credit,
                                               sluice_event_fn *on_event, void *context);
/* Ends it, once; unsettled events go back to the queue, and settling them meanwhile or later does nothing, until sluice_close. No
 * callback runs after it returns (from a callback: after that one). NULL is allowed. */
SLUICE_API void sluice_unsubscribe(struct sluice_sub *sub);
/* Settles by delivery.token. Late ones (the lease is over) do nothing: the event comes again. A nack is a failure, after
 * max_deliveries of which the event is dead; delay_ms 0: it comes again after the queue's back-off. */
SLUICE_API void sluice_ack(struct sluice_sub *sub, uint64_t token);
SLUICE_API void sluice_nack(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms);
/* Not now: it comes again after delay_ms (0: at once), as another attempt, and nothing failed. */
SLUICE_API void sluice_defer(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms);
/* Never: it is dead at once, with the reason dropped_by_app. */
SLUICE_API void sluice_drop(struct sluice_sub *sub, uint64_t token);
/* It takes longer: from now on the lease lasts lease_ms (at most 12 h), and the event counts as unsettled for so long. After the lease's
 * end it does nothing; nor with 0. */
SLUICE_API void sluice_extend(struct sluice_sub *sub, uint64_t token, uint32_t lease_ms);
/* The same as sluice_nack and sluice_drop, and says why: status (1 to 65535; 0: none) and error (UTF-8, 250 bytes of it; NULL:
 * none) stay with the event, for whoever peeks at it, has it explained or gets its dead letter. Nothing depends on them. */
SLUICE_API void sluice_nack_because(struct sluice_sub *sub, uint64_t token, uint32_t delay_ms, uint32_t status,
                                    const char *error);
SLUICE_API void sluice_drop_because(struct sluice_sub *sub, uint64_t token, uint32_t status, const char *error);

/* Counts since the connect; all 0 without one. What a callback was told is counted shortly after. */
struct sluice_stats {
    uint64_t confirmed, refused, unknown; /* publishes, by what became of them; refused: certainly not accepted */
    uint64_t delivered;                   /* events that came, of all subscriptions */
    uint64_t undecided;                   /* publishes whose confirm is to come */
    uint64_t attaches, resent;            /* sessions so far; frames that were sent again */
    bool attached;                        /* the broker answers now */
};
SLUICE_API void sluice_stats(struct sluice *s, struct sluice_stats *out);

/* A sentence for an error number. Never NULL. */
SLUICE_API const char *sluice_strerror(int error);
/* The library's version, "0.1.0". */
SLUICE_API const char *sluice_version(void);

#ifdef __cplusplus
}
#endif

#endif
