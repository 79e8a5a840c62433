/* What the broker tells of its queues, topics and events, and of itself. The spans and strings of what was decoded live
 * in the arena of the reply. */
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
    uint64_t ready, in_flight; /* ready: as far as was looked */
    const char *consumer;      /* "" when none */
    const char *heir;          /* who has it once it is drained; "": it stays */
};

/* A redrive that goes on by itself. */
struct redriving_info {
    uint64_t redriven, left;
    uint32_t rate; /* events a second; 0: there is none */
    const char *to;
    bool waits; /* for room there */
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
    uint64_t dead_letter_held; /* of the delayed: they should be dead, and find no room where the dead go */
    struct ledger ledger;
    uint32_t active_consumers;               /* more than 1 only with partitions */
    uint64_t parked_keys, parked_events;     /* keys with a failed event, and what waits behind those */
    const struct partition_info *partitions; /* of a queue that has more than one, and not in a list */
    size_t partition_count;
};

/* What becomes of an event of a topic that no bound queue's filter matches. The values are written to disk. */
enum unrouted { UNROUTED_REFUSE, UNROUTED_DROP, UNROUTED_QUEUE };
const char *unrouted_name(enum unrouted u); /* "refuse" */
/* A topic is bound to at most so many queues. */
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
    uint64_t accepted, dropped, refused, duplicates; /* events; dropped: of the accepted, nothing matched */
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
    uint64_t disk_carried_groups;      /* since the start: found no place, and are in a checkpoint instead */
    bool disk_full;                    /* and there was no room for another segment when somebody needed it */
    struct usage usage;                /* of the broker's process */
};

/* A queue that has events of a topic's; see struct outcome. */
struct target {
    const char *queue;
    uint64_t sequence;
};

struct outcome {
    uint64_t first, count;
    uint32_t reason;
    uint64_t sequence;
    uint32_t flags;
    /* With RUN_TOPIC in `flags` (frame.h): entry n of the run is event targets[i].sequence + sequence + n of each queue. */
    const struct target *targets;
    size_t target_count;
};
struct outcomes {
    const char *destination;
    uint64_t decided;
    const struct outcome *runs;
    size_t run_count;
};
/* Why an event that should be dead stays in its queue, delayed. */
enum dead_hold {
    HOLD_NOT,
    HOLD_FULL,    /* the dead store, or the queue its dead go to, is full (or memory is) */
    HOLD_CLOSED,  /* that queue is closed, */
    HOLD_MISSING, /* there is none of that name, */
    HOLD_DISK,    /* or the disk has no room for what goes there */
    DEAD_HOLDS
};
const char *dead_hold_name(enum dead_hold why); /* "dead_letter_full" */

/* What went wrong with an event so far. */
#define TROUBLE_ERROR_MAX 250u
struct trouble_info {
    uint32_t failures, crashes;
    enum dead_reason dead;
    int64_t first_ms, last_ms; /* wall clock */
    uint32_t status;           /* as the newest nack said; 0: it did not */
    const char *error;         /* "" likewise */
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
    uint64_t parked_behind; /* the event of its key that it waits for; 0: none */
    int64_t ready_ms;       /* delayed: when it becomes ready, wall clock; 0: not known */
    int64_t expires_ms;     /* wall clock; 0: it does not, or is dead, or its time was over before this */
};

/* How a delivery ended. Of those that settled their event nothing is kept. */
enum attempt_outcome {
    ATTEMPT_IN_FLIGHT, /* it goes on */
    ATTEMPT_NACKED,
    ATTEMPT_LEASE_EXPIRED,
    ATTEMPT_CONNECTION_LOST, /* its consumer vanished with it in hand */
    ATTEMPT_DEFERRED,
    ATTEMPT_DROPPED,  /* the application will not have it */
    ATTEMPT_RETURNED, /* its consumer left, or had to hand it over, in order */
    ATTEMPT_OUTCOMES
};
const char *attempt_outcome_name(enum attempt_outcome how); /* "lease_expired" */

struct attempt_info {
    uint32_t number; /* the attempt, as the consumer saw it */
    enum attempt_outcome outcome;
    int64_t delivered_ms; /* wall clock */
    uint32_t latency_ms;  /* until its outcome, or until now */
    uint32_t status;      /* as its nack said; 0: it did not */
    const char *consumer; /* the session's name */
    const char *error;    /* "": none */
};
/* So many of an event are kept, the newest. */
#define ATTEMPTS_KEPT     8u
#define CONSUMER_NAME_MAX 64u

/* What stands between an event and its next delivery. */
enum blocked_by {
    BLOCKED_NOT,         /* nothing: it is the next one */
    BLOCKED_IN_FLIGHT,   /* it is with its consumer */
    BLOCKED_DELAYED,     /* its time has not come */
    BLOCKED_BACK_OFF,    /* it failed, and its back-off is not over */
    BLOCKED_DEAD_LETTER, /* it should be dead, and finds no room where the dead go (trouble.held) */
    BLOCKED_DEAD,
    BLOCKED_DISK, /* the disk does not have it yet */
    BLOCKED_PAUSED,
    BLOCKED_NO_CONSUMER,
    BLOCKED_KEY,       /* another event of its key */
    BLOCKED_NO_CREDIT, /* the consumer asks for no more */
    BLOCKED_LINK,      /* the consumer's connection takes no more */
    BLOCKED_BEHIND,    /* others go first */
    BLOCKED_EXPIRED,   /* it expired, and is on its way to where the dead go */
    BLOCKED_CAUSES
};
const char *blocked_by_name(enum blocked_by what); /* "no_consumer" */
enum next_step { NEXT_NONE, NEXT_LEASE_END, NEXT_READY, NEXT_DEAD_LETTER, NEXT_STEPS };
const char *next_step_name(enum next_step what); /* "lease_end" */

/* One event, and why it is where it is. */
struct explained {
    struct peeked event;
    int64_t accepted_ms; /* wall clock; 0: not known without reading it from the disk */
    enum blocked_by blocked;
    uint64_t behind;      /* ready events before it */
    uint64_t blocker;     /* BLOCKED_KEY: that event */
    const char *consumer; /* that has it or will get it; "": none */
    enum next_step next;  /* what happens to it by itself, … */
    int64_t next_ms;      /* … and when, wall clock */
    int64_t now_ms;
    struct attempt_info attempts[ATTEMPTS_KEPT + 1]; /* that did not settle it, oldest first; the last may go on */
    uint32_t attempt_count;
    uint64_t attempts_older; /* that were before those and are forgotten */
};

#endif
