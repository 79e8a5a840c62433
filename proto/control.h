/* Control requests and replies (ROUTER/DEALER) as plain structs, packed and unpacked through protobuf-c in control.c
 * only. Everything decoded lives in the caller's arena, which caps hostile amplification. Spans in structs to be
 * packed are borrowed for the call. */
#ifndef SLUICE_PROTO_CONTROL_H
#define SLUICE_PROTO_CONTROL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/units.h"
#include "base/usage.h"
#include "proto/reason.h"
#include "proto/token.h"

#define PROTOCOL_VERSION        1u
#define ATTACH_DESTINATIONS_MAX 1024u

enum durability { DURABILITY_MEMORY, DURABILITY_DISK };
enum overflow { OVERFLOW_WAIT, OVERFLOW_REJECT, OVERFLOW_DROP_OLDEST };
enum ordered { ORDERED_NONE, ORDERED_KEY };
enum event_state { STATE_READY, STATE_IN_FLIGHT, STATE_DELAYED, STATE_DEAD };

enum queue_setting {
#define SETTING(index, name, type, field, fallback, min, max, help) QUEUE_SETTING_##name = (index),
#include "proto/queue_settings.def"
#undef SETTING
    QUEUE_SETTING_COUNT
};

struct queue_settings {
    uint32_t present; /* bit QUEUE_SETTING_x: the field was given */
    uint64_t capacity;
    uint64_t capacity_bytes;
    uint32_t durability; /* enum durability */
    uint32_t overflow;   /* enum overflow */
    uint64_t lease_ms;
    bool require_consumer;
    uint64_t dedup_window_ms; /* 0: off */
    uint64_t dedup_entries;
    uint64_t max_deliveries, max_crashes;
    uint64_t backoff_ms, backoff_max_ms; /* 0: at once */
    uint64_t dead_capacity;
    char dead_letter[NAME_MAX_SIZE + 1]; /* "": its own dead store */
    uint32_t ordered;                    /* enum ordered */
    uint64_t partitions;
    bool dead_letter_dropped;  /* what drop_oldest drops, too */
    uint64_t ttl_ms, delay_ms; /* 0: never; at once */
    bool dead_letter_expired;  /* what expires, too */
};

enum queue_setting_type {
    QUEUE_SETTING_NUMBER,
    QUEUE_SETTING_SIZE,
    QUEUE_SETTING_DURATION,
    QUEUE_SETTING_BOOL,
    QUEUE_SETTING_CHOICE_DURABILITY,
    QUEUE_SETTING_CHOICE_OVERFLOW,
    QUEUE_SETTING_NAME, /* a text; every other one is a number */
    QUEUE_SETTING_CHOICE_ORDERED,
};

/* A row of queue_settings.def. */
struct queue_setting_info {
    const char *name;
    enum queue_setting_type type;
    uint64_t fallback, min, max;
    const char *help;
    const char *const *choices; /* NULL-terminated names of a CHOICE, by value */
};
const struct queue_setting_info *queue_setting_info(enum queue_setting s);
/* The row of that name; NULL when there is none. */
const struct queue_setting_info *queue_setting_find(struct span name, enum queue_setting *which);
uint64_t queue_settings_get(const struct queue_settings *s, enum queue_setting which);
void queue_settings_put(struct queue_settings *s, enum queue_setting which, uint64_t value); /* sets `present` too */
/* The same of a text: NULL when the setting is none; one that is too long to be a name becomes "". */
const char *queue_settings_text(const struct queue_settings *s, enum queue_setting which);
void queue_settings_put_text(struct queue_settings *s, enum queue_setting which, struct span text);
/* Of either kind. */
void queue_settings_copy(struct queue_settings *to, const struct queue_settings *from, enum queue_setting which);
bool queue_settings_same(const struct queue_settings *a, const struct queue_settings *b, enum queue_setting which);
struct queue_settings queue_settings_defaults(void); /* all present */
/* Parses text as YAML and flags give it ("64MiB", "30s", "wait", "true", "1000"); NULL-safe error. Range-checked. */
struct error;
bool queue_settings_parse(struct queue_settings *s, struct span name, struct span value, struct error *e);
/* Range check of what is present; false names the setting and its range. */
bool queue_settings_check(const struct queue_settings *s, struct error *e);

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

enum call {
    CALL_NONE,
    CALL_ATTACH,
    CALL_PING,
    CALL_DECLARE,
    CALL_DESCRIBE,
    CALL_LIST,
    CALL_DELETE,
    CALL_PEEK,
    CALL_PURGE,
    CALL_PAUSE,
    CALL_RESUME,
    CALL_CLOSE,
    CALL_OPEN,
    CALL_BROKER,
    CALL_REDRIVE,
    CALL_EXPLAIN,
    CALL_PUT_TOPIC,
    CALL_DESCRIBE_TOPIC,
    CALL_LIST_TOPICS, /* as CALL_LIST */
    CALL_DELETE_TOPIC,
    CALL_BIND,
    CALL_UNBIND,
    CALL_PUT_SUBSCRIPTION,
    CALL_DELETE_SUBSCRIPTION,
    CALL_SUBSCRIPTIONS,
    CALL_CANCEL,
};
#define REDRIVE_SEQUENCES_MAX     10000u
#define REDRIVE_RATE_MAX          1000000u

#define SUBSCRIPTION_SETTINGS_MAX 4096u
/* One that the broker keeps for an application's sidecars. */
struct kept_subscription {
    const char *name;
    struct span settings;
    uint64_t revision;
};

struct request {
    struct token id;
    enum call call;
    const char *queue; /* of every call that names one; "" otherwise. Not yet checked by name_valid */
    const char *topic; /* likewise */
    union {
        struct {
            uint32_t version, least_version;
            uint64_t features;
            const char *name;
            struct token token; /* zero: a new session */
            uint64_t received;
            struct token producer;
            uint64_t producer_epoch; /* 0: none yet */
            const char *inbox;
            const char *const *destinations; /* with entries whose outcome the client does not know */
            size_t destination_count;        /* at most ATTACH_DESTINATIONS_MAX */
        } attach;
        struct {
            struct queue_settings settings;
            bool only_create;
        } declare;
        struct {
            const char *prefix, *after;
            uint32_t limit;
        } list;
        struct {
            uint64_t sequence;
        } explain;
        struct {
            bool force;
        } delete_;
        struct {
            bool dead; /* what is dead; else what is ready and delayed */
        } purge;
        struct {
            const uint64_t *sequences; /* at most REDRIVE_SEQUENCES_MAX */
            size_t count;              /* 0: all */
            const char *to;            /* "": the queue itself */
            bool dry_run;
            struct span filter; /* proto/filter.h; empty: everything */
            uint32_t reason;    /* enum dead_reason; 0: whatever it died of */
            uint32_t rate;      /* events a second, going on by itself; 0: at once */
            bool stop;          /* the one that goes on by itself, and nothing else */
        } redrive;
        struct {
            const char *app, *name;
            struct span settings; /* of a put */
            uint64_t known;       /* of a list */
        } subscription;
        struct {
            enum event_state state;
            uint64_t from;
            uint32_t max, max_bytes;
        } peek;
        struct {
            bool has_unrouted; /* the two below are given */
            enum unrouted unrouted;
            const char *catch_all; /* UNROUTED_QUEUE: its name */
            bool only_create;
        } put_topic;
        struct {
            struct span filter; /* filter.h; not yet checked */
        } bind;
        struct {
            uint64_t sequence;
        } cancel;
    } u;
};

enum result {
    RESULT_NONE,
    RESULT_ATTACHED,
    RESULT_PONG,
    RESULT_QUEUE,
    RESULT_LIST,
    RESULT_PEEKED,
    RESULT_PURGED,
    RESULT_BROKER,
    RESULT_REDRIVEN,
    RESULT_EXPLAINED,
    RESULT_TOPIC,
    RESULT_TOPICS,
    RESULT_SUBSCRIPTIONS,
    RESULT_CANCELLED,
};

struct reply {
    struct token id;
    enum reason reason; /* REASON_ok: done */
    const char *detail; /* "" when done */
    enum result result;
    union {
        struct {
            uint32_t version;
            uint64_t features;
            struct token token;
            uint32_t epoch;
            bool resumed, producer_known;
            uint64_t received;
            const struct outcomes *outcomes;
            size_t outcome_count;
            uint64_t window_events, window_bytes;
            uint32_t heartbeat_ms, session_timeout_ms;
            uint64_t rights, incarnation;
            uint32_t max_event;
            uint64_t producer_epoch; /* not of a session that is resumed: 0 */
        } attached;
        struct {
            const char *version;
            uint64_t uptime_ms;
        } pong;
        struct queue_info queue;
        struct {
            const struct queue_info *queues;
            size_t count;
            const char *next;
        } list;
        struct {
            const struct peeked *events;
            size_t count;
            uint64_t next;
        } peeked;
        struct {
            uint64_t purged;
        } purged;
        struct {
            uint64_t redriven, left;
            bool running; /* it goes on by itself */
        } redriven;
        struct topic_info topic;
        struct {
            const struct topic_info *topics;
            size_t count;
            const char *next;
        } topics;
        struct explained explained;
        struct broker_info broker;
        struct {
            uint64_t revision;
            bool same, created;
            const struct kept_subscription *items;
            size_t count;
        } subscriptions;
    } u;
};

/* Appends the packed message. */
void request_pack(const struct request *r, struct buf *out);
void reply_pack(const struct reply *r, struct buf *out);
/* False when the bytes are no such message, hold invalid UTF-8 or an embedded NUL, or the arena's cap is passed.
 * A call or result this version does not know unpacks as CALL_NONE / RESULT_NONE. Strings are never NULL. */
bool request_unpack(struct span bytes, struct arena *arena, struct request *out);
bool reply_unpack(struct span bytes, struct arena *arena, struct reply *out);

#endif
