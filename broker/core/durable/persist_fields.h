/* The core's own data in the log: which queues there are, who published what, how far a queue may have been delivered,
 * and the ledgers. Encoded in protobuf's wire format (proto/wire.h), so that fields can be added: readers skip what
 * they do not know. A number is never given another meaning.
 *
 *   note      one field: QUEUE, DELETED, PRODUCER, MARK, OUTCOME, TROUBLE, TOPIC, TOPIC_DELETED, SUBSCRIPTION or
 *             SUBSCRIPTION_DELETED
 *   origin    of a run of accepted events: the producer, its first sequence, what it has seen, the events' hashes
 *   snapshot  the sum of all notes and runs so far: QUEUE, PRODUCER and SUBSCRIPTION fields, and the rest
 *
 * Private to persist_*.c. */
#ifndef SLUICE_BROKER_CORE_PERSIST_FIELDS_H
#define SLUICE_BROKER_CORE_PERSIST_FIELDS_H

enum {
    NOTE_QUEUE = 1,
    NOTE_DELETED,
    NOTE_PRODUCER,
    NOTE_MARK,
    STATE_NEXT_QUEUE,
    STATE_CLOSED_LEDGER,
    NOTE_OUTCOME,
    NOTE_TROUBLE,
    NOTE_TOPIC = 10, /* the whole topic, whenever any of it changes */
    NOTE_TOPIC_DELETED,
    NOTE_SUBSCRIPTION = 12,
    NOTE_SUBSCRIPTION_DELETED,
    STATE_SUBSCRIPTION_REVISION = 20,
    STATE_ORDERLY,  /* 1: this is the last checkpoint of an orderly stop */
    STATE_UNSYNCED, /* 1: confirms do not wait for the sync */
};
enum {
    QUEUE_ID = 1,
    QUEUE_NAME,
    QUEUE_SETTING,
    QUEUE_PAUSED,
    QUEUE_CLOSED,
    QUEUE_NEXT_SEQUENCE,
    QUEUE_MARK,
    QUEUE_LEDGER,
    QUEUE_DEDUP,
    QUEUE_TROUBLE,
    QUEUE_WAITING,    /* runs of events that are delayed … */
    QUEUE_EXPIRING,   /* … and that will expire, see below */
    QUEUE_FRESH = 16, /* after an orderly stop: ranges of events below the mark that were never delivered */
};
enum { LEDGER_ACCEPTED = 1, LEDGER_ACKED, LEDGER_DEAD, LEDGER_EXPIRED, LEDGER_PURGED, LEDGER_DROPPED };
enum { PRODUCER_HIGH = 1, PRODUCER_LOW, PRODUCER_DESTINATION, PRODUCER_EPOCH };
enum { DESTINATION_NAME = 1, DESTINATION_NEXT, DESTINATION_SEEN, DESTINATION_RUN };
enum { RUN_FIRST = 1, RUN_COUNT, RUN_SEQUENCE, RUN_REASON, RUN_FLAGS, RUN_TARGET };
enum {
    ORIGIN_HIGH = 1,
    ORIGIN_LOW,
    ORIGIN_FIRST,
    ORIGIN_SEEN,
    ORIGIN_HASHES,
    ORIGIN_TOPIC,      /* published to a topic: its name, … */
    ORIGIN_TARGET,     /* … and where the events went; in the note of their first run (all runs are in one group) */
    ORIGIN_NOT_BEFORE, /* the publisher's terms, wall clock, ms; 0: none */
    ORIGIN_EXPIRES,
};
enum { TARGET_QUEUE = 1 /* its id */, TARGET_SEQUENCE, TARGET_NAME /* where there is no id */ };
enum {
    OUTCOME_HIGH = 1,
    OUTCOME_LOW,
    OUTCOME_QUEUE,
    OUTCOME_SEEN,
    OUTCOME_RUN,
    OUTCOME_TOPIC,    /* its name, instead of OUTCOME_QUEUE */
    OUTCOME_FORGOTTEN /* the name of a destination that is no longer persistent: forget its outcomes */
};
enum {
    TROUBLE_QUEUE = 1, /* its id */
    TROUBLE_SEQUENCE,
    TROUBLE_DEAD,
    TROUBLE_FAILURES,
    TROUBLE_CRASHES,
    TROUBLE_STATUS,
    TROUBLE_ATTEMPT,
    TROUBLE_SIZE,
    TROUBLE_FIRST,
    TROUBLE_LAST,
    TROUBLE_ERROR,
    TROUBLE_DROPPED,
    TROUBLE_DELAY,
    TROUBLE_SINCE,   /* of the delay; absent: TROUBLE_LAST */
    TROUBLE_HISTORY, /* an attempt: in a note the newest, in a snapshot all that are kept */
    TROUBLE_OLDER,   /* in a snapshot: the number of attempts before those */
};
enum {
    ATTEMPT_NUMBER = 1,
    ATTEMPT_OUTCOME,
    ATTEMPT_DELIVERED,
    ATTEMPT_LATENCY,
    ATTEMPT_STATUS,
    ATTEMPT_CONSUMER,
    ATTEMPT_ERROR,
};
enum { MARK_QUEUE = 1, MARK_END };
enum { TOPIC_ID = 1, TOPIC_NAME, TOPIC_UNROUTED, TOPIC_CATCH_ALL /* a queue's id */, TOPIC_BINDING };
enum { BINDING_QUEUE = 1, BINDING_FILTER };
enum { SUBSCRIPTION_APP = 1, SUBSCRIPTION_NAME, SUBSCRIPTION_SETTINGS, SUBSCRIPTION_REVISION };

/* QUEUE_WAITING and QUEUE_EXPIRING hold runs of three varints: time (wall clock, ms, zigzag; the first run's is
 * absolute, the others' are relative to it), first sequence, count. Some of the events may have left the queue since.
 *
 * QUEUE_FRESH holds ranges of two varints: first sequence, count. Some of the events may have left the queue. It is
 * valid only if nothing follows the snapshot in the log: before anything can be delivered its consumer must attach, and
 * that writes a note. */

/* A dedup window's entry in a snapshot: its hash, sequence and wall time of acceptance. */
#define DEDUP_ENTRY_SIZE (DEDUP_HASH_SIZE + 16u)

#endif
