/* What the broker reports about its queues, topics and events, and about itself. Decoded spans and strings live in the
 * reply's arena. */
#ifndef SLUICE_PROTO_CONTROL_INFO_H
#define SLUICE_PROTO_CONTROL_INFO_H

#include "base/usage.h"
#include "proto/queue_settings.h"
#include "proto/reason.h"
#include "proto/token.h"

enum event_state { STATE_READY, STATE_IN_FLIGHT, STATE_DELAYED, STATE_DEAD };

struct ledger {
    uint64_t accepted, acked, dead_lettered, expired, purged, dropped, remaining;
};

struct partition_info {
    uint64_t ready, in_flight; /* ready: of the events scanned so far */
    const char *consumer;      /* "" when none */
    const char *heir;          /* who gets it once it is drained; "": it stays where it is */
};

/* A background redrive. */
struct redriving_info {
    uint64_t redriven, left;
    uint32_t rate;  /* events a second; 0: none is running */
    const char *to; /* the target queue */
    bool waits;     /* for room in the target */
};

/* Why an event is dead. The values are written to disk. */
enum dead_reason { DEAD_NOT, DEAD_MAX_DELIVERIES, DEAD_CRASH_LOOP, DEAD_DROPPED_BY_APP, DEAD_DROPPED, DEAD_EXPIRED };
#define DEAD_LAST    DEAD_EXPIRED
#define DEAD_REASONS (DEAD_LAST + 1)
const char *dead_reason_name(enum dead_reason why); /* "max_deliveries" */

struct queue_info {
    const char *queue;
    struct queue_settings settings; /* effective, all present */
    bool created, managed, paused, closed;
    uint64_t ready, in_flight, delayed, dead, bytes, oldest_age_ms, waiting_publishers;
    const char *consumer; /* "" when none */
    uint32_t standbys;
    uint64_t in_rate_milli, out_rate_milli, next_sequence, refused, redelivered;
    uint64_t duplicates, dedup_evicted;
    uint64_t died[DEAD_REASONS]; /* since the broker started, by enum dead_reason */
    struct redriving_info redrive;
    uint64_t dead_letter_held; /* of the delayed: they should be dead, but are held (enum dead_hold) */
    struct ledger ledger;
    uint32_t active_consumers;               /* more than 1 only with partitions */
    uint64_t parked_keys, parked_events;     /* keys with a failed event, and the events waiting behind it */
    const struct partition_info *partitions; /* if the queue has more than one; not in lists */
    size_t partition_count;
};

/* What happens to an event of a topic if no bound queue's filter matches. The values are written to disk. */
enum unrouted { UNROUTED_REFUSE, UNROUTED_DROP, UNROUTED_QUEUE };
const char *unrouted_name(enum unrouted u); /* "refuse" */
/* Most queues bound to a topic. */
#define TOPIC_BINDINGS_MAX 1000u

struct binding_info {
    const char *queue;
    struct span filter; /* filter.h */
    uint64_t matched;
};

struct topic_info {
    const char *topic;
    bool created, managed;
    enum unrouted unrouted;
    const char *catch_all;               /* "" unless UNROUTED_QUEUE */
    const struct binding_info *bindings; /* by queue */
    size_t binding_count;
    /* Since the broker's start: */
    uint64_t accepted, dropped, refused, duplicates; /* events; dropped: accepted, but nothing matched */
    uint64_t waiting_publishers, in_rate_milli;
};

struct broker_info {
    const char *version;
    uint64_t uptime_ms, incarnation, sessions, queues, memory_used, memory_budget;
    struct ledger ledger;
    uint64_t frames_in, frames_out, resent, rejected, sessions_ended;
    uint64_t rejected_bytes, rebinds, denied;
    uint64_t disk_used, disk_budget;   /* bytes of the log's files */
    uint64_t disk_written, disk_syncs; /* since the start: bytes written, fdatasyncs */
    uint64_t disk_carried_groups;      /* since the start: groups that had no place and went into a checkpoint */
    bool disk_full;                    /* there was no room for another segment when one was needed */
    struct usage usage;                /* of the broker's process */
};

/* A queue that received events of a topic; see struct outcome. */
struct target {
    const char *queue;
    uint64_t sequence;
};

struct outcome {
    uint64_t first, count;
    uint32_t reason;
    uint64_t sequence;
    uint32_t flags;
    /* With RUN_TOPIC in `flags` (frame.h): entry n of the run is event targets[i].sequence + sequence + n in each
     * queue. */
    const struct target *targets;
    size_t target_count;
};
struct outcomes {
    const char *destination;
    uint64_t decided;
    const struct outcome *runs;
    size_t run_count;
};
/* Why an event that should be dead is held in its queue, as delayed. */
enum dead_hold {
    HOLD_NOT,
    HOLD_FULL,    /* the dead store or dead-letter queue is full, or memory is */
    HOLD_CLOSED,  /* the dead-letter queue is closed */
    HOLD_MISSING, /* the dead-letter queue does not exist */
    HOLD_DISK,    /* the disk has no room for the dead letter */
    DEAD_HOLDS
};
const char *dead_hold_name(enum dead_hold why); /* "dead_letter_full" */

/* An event's failures so far. */
#define TROUBLE_ERROR_MAX 250u
struct trouble_info {
    uint32_t failures, crashes;
    enum dead_reason dead;
    int64_t first_ms, last_ms; /* wall clock */
    uint32_t status;           /* of the newest nack; 0: none given */
    const char *error;         /* of the newest nack; "": none given */
    enum dead_hold held;
};
static inline bool trouble_is(const struct trouble_info *t)
{
    return t->failures || t->crashes || t->dead || t->held;
}

struct peeked {
    uint64_t sequence;
    enum event_state state;
    uint32_t attempt;
    struct span event;
    struct trouble_info trouble;
    uint64_t parked_behind; /* the event of its key that it waits behind; 0: none */
    int64_t ready_ms;       /* delayed: when it becomes ready, wall clock; 0: not known */
    int64_t expires_ms;     /* wall clock; 0: never, or it is dead, or was expired already */
};

/* How a delivery ended. Deliveries that settled their event are not kept. */
enum attempt_outcome {
    ATTEMPT_IN_FLIGHT, /* has not ended */
    ATTEMPT_NACKED,
    ATTEMPT_LEASE_EXPIRED,
    ATTEMPT_CONNECTION_LOST, /* its consumer's session was lost */
    ATTEMPT_DEFERRED,
    ATTEMPT_DROPPED,  /* the application refused it for good */
    ATTEMPT_RETURNED, /* its consumer left, or handed it over, in an orderly way */
    ATTEMPT_OUTCOMES
};
const char *attempt_outcome_name(enum attempt_outcome how); /* "lease_expired" */

struct attempt_info {
    uint32_t number; /* the attempt, as the consumer saw it */
    enum attempt_outcome outcome;
    int64_t delivered_ms; /* wall clock */
    uint32_t latency_ms;  /* until its outcome, or until now */
    uint32_t status;      /* of its nack; 0: none given */
    const char *consumer; /* the session's name */
    const char *error;    /* "": none */
};
/* How many attempts of an event are kept: the newest ones. */
#define ATTEMPTS_KEPT     8u
#define CONSUMER_NAME_MAX 64u

/* What keeps an event from its next delivery. */
enum blocked_by {
    BLOCKED_NOT,         /* nothing: it is the next one */
    BLOCKED_IN_FLIGHT,   /* it is delivered and unsettled */
    BLOCKED_DELAYED,     /* its delay has not ended */
    BLOCKED_BACK_OFF,    /* it failed, and its back-off has not ended */
    BLOCKED_DEAD_LETTER, /* it should be dead, but is held (trouble.held says why) */
    BLOCKED_DEAD,
    BLOCKED_DISK, /* it is not on disk yet */
    BLOCKED_PAUSED,
    BLOCKED_NO_CONSUMER,
    BLOCKED_KEY,       /* an unsettled event of its key */
    BLOCKED_NO_CREDIT, /* the consumer's credit is used up */
    BLOCKED_LINK,      /* the link to the consumer is full */
    BLOCKED_BEHIND,    /* other events are delivered first */
    BLOCKED_EXPIRED,   /* it expired, and is being moved to the dead events */
    BLOCKED_CAUSES
};
const char *blocked_by_name(enum blocked_by what); /* "no_consumer" */
enum next_step { NEXT_NONE, NEXT_LEASE_END, NEXT_READY, NEXT_DEAD_LETTER, NEXT_STEPS };
const char *next_step_name(enum next_step what); /* "lease_end" */

/* One event: where it is, and why. */
struct explained {
    struct peeked event;
    int64_t accepted_ms; /* wall clock; 0: not known without reading it from the disk */
    enum blocked_by blocked;
    uint64_t behind;      /* ready events before it */
    uint64_t blocker;     /* BLOCKED_KEY: that event */
    const char *consumer; /* the one that has it or will get it; "": none */
    enum next_step next;  /* what will happen to it by itself, … */
    int64_t next_ms;      /* … and when, wall clock */
    int64_t now_ms;
    struct attempt_info
        attempts[ATTEMPTS_KEPT + 1]; /* that did not settle it, oldest first; the last may be in flight */
    uint32_t attempt_count;
    uint64_t attempts_older; /* earlier attempts, no longer kept */
};

#endif
