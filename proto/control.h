/* Control requests and replies (ROUTER/DEALER) as plain structs. They are packed and unpacked by protobuf-c, which
 * only proto/control*.c uses. Everything decoded lives in the caller's arena, whose cap bounds hostile
 * amplification. Spans and strings in structs to be packed are borrowed for the call. */
#ifndef SLUICE_PROTO_CONTROL_H
#define SLUICE_PROTO_CONTROL_H

#include "base/arena.h"
#include "base/buf.h"
#include "proto/control_info.h"
#include "proto/queue_settings.h"
#include "proto/reason.h"
#include "proto/token.h"

#define PROTOCOL_VERSION        1u
#define ATTACH_DESTINATIONS_MAX 1024u

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
/* A subscription that the broker keeps for an application's sidecars. */
struct kept_subscription {
    const char *name;
    struct span settings;
    uint64_t revision;
};

struct request {
    struct token id;
    enum call call;
    const char *queue; /* in calls that name one; "" otherwise. Not yet checked by name_valid */
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
            const char *const *destinations; /* those with entries whose outcome the client does not know */
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
            bool dead; /* purges the dead events; false: the ready and delayed ones */
        } purge;
        struct {
            const uint64_t *sequences; /* at most REDRIVE_SEQUENCES_MAX */
            size_t count;              /* 0: all */
            const char *to;            /* "": the queue itself */
            bool dry_run;
            struct span filter; /* proto/filter.h; empty: everything */
            uint32_t reason;    /* enum dead_reason; 0: any */
            uint32_t rate;      /* events a second, as a background redrive; 0: all at once */
            bool stop;          /* only stops the background redrive */
        } redrive;
        struct {
            const char *app, *name;
            struct span settings; /* of a put */
            uint64_t known;       /* in a list: the newest revision the client knows */
        } subscription;
        struct {
            enum event_state state;
            uint64_t from;
            uint32_t max, max_bytes;
        } peek;
        struct {
            bool has_unrouted; /* the next two are given */
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
            uint64_t producer_epoch; /* 0 in a resumed session */
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
            bool running; /* a background redrive is running */
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
