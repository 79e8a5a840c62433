/* The core's words in the log: which queues there are, who published what, how far a queue may have been delivered, and the books.
 * Written in protobuf's wire format (proto/wire.h), so that a field can be added: what a reader does not know it skips. A number is
 * never given another meaning.
 *
 *   note      one field: QUEUE, DELETED, PRODUCER, MARK, OUTCOME, TROUBLE, TOPIC, TOPIC_DELETED, SUBSCRIPTION or
 *             SUBSCRIPTION_DELETED
 *   origin    of a run of accepted events: the producer, its first sequence, what it has seen, the events' hashes
 *   snapshot  everything the notes and runs so far amount to: QUEUE, PRODUCER and SUBSCRIPTION fields, and the rest
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
    NOTE_TOPIC = 10, /* all of it, whenever something of it changes */
    NOTE_TOPIC_DELETED,
    NOTE_SUBSCRIPTION = 12,
    NOTE_SUBSCRIPTION_DELETED,
    STATE_SUBSCRIPTION_REVISION = 20,
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
    QUEUE_WAITING,    /* as TERMS of a run: those that are delayed … */
    QUEUE_EXPIRING,   /* … and those that expire */
    QUEUE_FRESH = 16, /* of an orderly stop: those that are delayed and were never delivered */
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
    ORIGIN_TOPIC,      /* of what went to one: its name, … */
    ORIGIN_TARGET,     /* … and where it went; in the note of the first of its runs, which all stand in one group */
    ORIGIN_NOT_BEFORE, /* what its publisher said of when it may be delivered */
    ORIGIN_EXPIRES,
};
enum { TARGET_QUEUE = 1 /* its id */, TARGET_SEQUENCE, TARGET_NAME /* where there is no id */ };
enum {
    OUTCOME_HIGH = 1,
    OUTCOME_LOW,
    OUTCOME_QUEUE,
    OUTCOME_SEEN,
    OUTCOME_RUN,
    OUTCOME_TOPIC,    /* instead of a queue */
    OUTCOME_FORGOTTEN /* the name of which nothing is known from here on: it is in memory by now */
};
enum {
    TROUBLE_QUEUE = 1, /* in a note; a snapshot has it within its queue */
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
    TROUBLE_SINCE, /* of the delay; absent: TROUBLE_LAST */
    TROUBLE_TRIED, /* an attempt: a note has the one that it tells of, a snapshot all that are kept */
    TROUBLE_OLDER, /* in a snapshot: how many there were before those */
};
enum {
    TRIED_NUMBER = 1,
    TRIED_OUTCOME,
    TRIED_DELIVERED,
    TRIED_LATENCY,
    TRIED_STATUS,
    TRIED_CONSUMER,
    TRIED_ERROR,
};
enum { MARK_QUEUE = 1, MARK_END };
enum { TOPIC_ID = 1, TOPIC_NAME, TOPIC_UNROUTED, TOPIC_CATCH_ALL /* a queue's id */, TOPIC_BINDING };
enum { BINDING_QUEUE = 1, BINDING_FILTER };
enum { SUBSCRIPTION_APP = 1, SUBSCRIPTION_NAME, SUBSCRIPTION_SETTINGS, SUBSCRIPTION_REVISION };

/* QUEUE_WAITING and QUEUE_EXPIRING hold runs, three varints each: time (wall clock, ms, from the first run's on, zigzag), first
 * sequence, count. Some of it may have left the queue. QUEUE_FRESH holds ranges, two varints each: first sequence, count. It is true
 * as long as nothing follows in the log: who is delivered something attached, and there is a note of that before. */

/* A dedup window's entry in a snapshot: its hash, sequence and wall time of acceptance. */
#define DEDUP_ENTRY_SIZE (DEDUP_HASH_SIZE + 16u)

#endif
