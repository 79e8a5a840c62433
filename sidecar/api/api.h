/* The semantics of the HTTP API. Pure: turns a request into a command or a finished response, and later the command's
 * outcome into a response. It uses no socket, libmicrohttpd, clock or client: sidecar/http moves the bytes, and
 * sidecar/link talks to the broker. docs/http-api.md and openapi.json describe the API; tests compare them with this
 * code.
 *
 * The calls for a request, in order:
 *   api_begin    headers only, before the body is read: method, path, Host, Origin, token, limits -> maybe a response
 *   api_parse    with the body: everything else -> a command, or a response (errors; what needs no broker)
 *   (the command runs: sidecar/link)
 *   api_render_* its outcome -> a response
 *   api_finish   any response, before it is sent
 * Everything but a response's body is allocated in the request's arena. Functions that fill a response also initialize
 * it. */
#ifndef SLUICE_SIDECAR_API_H
#define SLUICE_SIDECAR_API_H

#include "base/arena.h"
#include "base/mono.h"
#include "base/settings.h"
#include "proto/control.h"
#include "proto/event.h"
#include "proto/frame.h"
#include "sidecar/api/subscription.h"

enum api_listener { API_APPLICATION, API_OPERATIONS, API_PROBE };

struct api_header {
    struct span name, value;
};

struct api_request {
    enum api_listener listener;
    struct span method;               /* "POST" */
    struct span path;                 /* as sent, before percent-decoding, without the query */
    struct span query;                /* without "?"; empty when none */
    const struct api_header *headers; /* names in any case */
    size_t header_count;
    struct span body;
};

/* Settings and state of the sidecar that the API needs; owned by the sidecar. */
struct api_config {
    const char *app_name;               /* source of wrapped events: "/NAME"; also used in problem instances */
    bool operate;                       /* operating calls on the application listener too */
    const char *operations;             /* address of the operations listener, for messages; NULL: there is none */
    const char *token;                  /* bearer token; NULL: none is set */
    bool token_needed[3];               /* by listener: must a request have the token? */
    const struct setting_list *origins; /* allowed in addition to pages of the listener itself */
    const struct setting_list *hosts;   /* allowed in addition to loopback */
    const struct setting_list
        *pubsubs;   /* names of Dapr pub/sub components that stand for this broker; empty: "sluice" */
    bool app_named; /* app_name was given: subscriptions belong to it */
    int64_t publish_wait_ms, publish_wait_max_ms; /* 1,000 and 60,000 */
    int64_t take_wait_max_ms;                     /* 60,000 */
    uint32_t take_max;                            /* 1,000 */
    uint64_t take_bytes;                          /* 4 MiB */
    uint64_t event_max, batch_max_bytes;          /* 1 MiB, 4 MiB */
    uint32_t batch_max_events;                    /* 1,000 */
    bool draining;
};

/* A finished response. It owns `body`, which passes to whoever sends it; if it is not sent, buf_free it. */
struct api_response {
    int status;
    const char *content_type; /* NULL: no body */
    struct buf body;
    struct api_header headers[8]; /* besides Content-Type and Content-Length; spans in the arena, NUL-terminated */
    size_t header_count;
};

enum api_command_kind {
    API_PUBLISH,
    API_PUBLISH_DAPR, /* only in routes: the command is an API_PUBLISH */
    API_METADATA_DAPR,
    API_HEALTH_DAPR,
    API_TAKE,
    API_STREAM,
    API_ACKS,
    API_CALL,
    API_SUBSCRIBE,
    API_UNSUBSCRIBE,
    API_SUBSCRIPTION,  /* describe one */
    API_SUBSCRIPTIONS, /* list them */
    API_DRAIN,
    API_METRICS,
    API_HEALTH,
    API_LIVE,
    API_READY,
    API_STARTUP,
    API_DESCRIPTION,
    API_INDEX
};

/* One event of a publish. If its id was generated here, a retry cannot be recognized and would be a new event;
 * otherwise the broker recognizes a retry by `hash`. */
struct api_event {
    struct span encoded; /* as sent to the broker */
    struct span id;      /* for the answer */
    bool id_generated;
    uint8_t hash[EVENT_HASH_SIZE]; /* event_hash; zeros: the id was generated */
    struct client_terms terms;
};

/* How taken and peeked events are written. */
enum api_format { API_JSON, API_PROTOBUF };

struct api_route;
struct api_command {
    enum api_command_kind kind;
    const struct api_route *route; /* routes.h; for metrics */
    const char *queue;             /* "": none */
    uint64_t sequence;             /* {n} of the path */
    const char *subscription;      /* its name; NULL: none */
    const char *topic;             /* its name; NULL: none */
    const char *away;              /* the detail of a REASON_unavailable: why there is no session; NULL: not known */
    union {
        struct {
            struct api_event *events;
            size_t count;
            bool batch;
            bool dapr; /* in the format of Dapr's HTTP API */
            uint32_t wait_ms;
            struct client_terms terms; /* of every event; an event's own expirytime takes precedence */
        } publish;
        struct {
            uint32_t max;
            int64_t wait_ms;
            enum api_format format;
        } take;
        struct {
            uint32_t window; /* limit on events that are handed over and not settled */
            bool head_only;
        } stream;
        struct {
            struct receipt_ack *items;
            size_t count;
        } acks;
        struct {
            struct request request;
            bool ledger_only;
        } call; /* request.id unset */
        struct {
            struct subscription_settings *change; /* API_SUBSCRIBE: the keys that were given; in the arena */
            const char *after;                    /* API_SUBSCRIPTIONS: names after this one */
            uint32_t limit;
        } subscription;
    } u;
};

enum api_answer { API_CONTINUE, API_COMMAND, API_RESPONSE };

/* Checks the headers. API_RESPONSE: send *out and discard the body; with *close also close the connection.
 * API_CONTINUE: read the body, of at most *body_limit bytes (beyond that: api_problem(REASON_too_large)). Refuses what
 * libmicrohttpd accepts: Content-Length together with Transfer-Encoding, several different Content-Lengths, more than
 * one Host. */
enum api_answer api_begin(const struct api_config *c, const struct api_request *r, struct arena *a,
                          uint64_t *body_limit, struct api_response *out, bool *close);
/* Is the request a publish, by its method and path? */
bool api_is_publish(const struct api_request *r);

/* Adds the headers that let a page of an allowed origin read the response (CORS). Call it once for every response,
 * refusals included, just before it is sent. */
void api_finish(const struct api_config *c, const struct api_request *r, struct arena *a, struct api_response *out);

/* `random`: for a generated id; further ids of a batch are derived from it. Returns API_COMMAND or API_RESPONSE. */
enum api_answer api_parse(const struct api_config *c, const struct api_request *r, const uint8_t random[16],
                          struct now now, struct arena *a, struct api_command *command, struct api_response *out);

/* ---- outcomes -> responses */

struct api_outcome {
    enum reason reason;
    uint64_t sequence;
    uint64_t depth, capacity;
    uint32_t retry_after_ms;
    const char *queue; /* topic: the queue that refused the event; otherwise NULL */
    /* topic: the queues that accepted the event, with its sequence in each */
    bool is_topic;
    bool duplicate; /* accepted before, under this sequence, by the queue or by every queue of the topic */
    const struct target *targets;
    size_t target_count;
};
/* outcomes[i] belongs to command->u.publish.events[i]. */
void api_render_publish(const struct api_command *c, const struct api_outcome *outcomes, struct arena *a,
                        struct api_response *out);

/* `receipt` is the event's own complete receipt, not its batch's. */
struct api_taken {
    uint64_t sequence;
    uint32_t attempt;
    struct span receipt;
    struct span event;
    uint32_t lease_ms;
};
/* `standby`: another consumer is active, and this sidecar stands by (header Sluice-Consumer: standby). Otherwise the
 * headers are Sluice-Consumer: active and Sluice-Consumer-Epoch, the fencing token. */
void api_render_take(const struct api_command *c, const struct api_taken *events, size_t count, bool standby,
                     uint64_t consumer_epoch, struct arena *a, struct api_response *out);

/* A stream of Server-Sent Events (WHATWG HTML, 9.2): api_render_stream gives its head and the beginning of its body;
 * the api_stream_* functions append one complete message each, with the empty line that ends it. */
void api_render_stream(bool standby, uint64_t consumer_epoch, struct arena *a, struct api_response *out);
/* The complete answer to a stream that cannot begin for a temporary reason. Its status is 200, because browsers
 * reconnect only after that. */
void api_render_stream_end(const struct api_command *c, enum reason reason, struct arena *a, struct api_response *out);
void api_stream_event(const struct api_taken *event, struct buf *out);
void api_stream_consumer(uint64_t consumer_epoch, struct buf *out); /* the events that follow belong to this turn */
void api_stream_end(const struct api_command *c, enum reason reason, struct buf *out);
void api_stream_beat(struct buf *out); /* a comment line, which shows that the connection is alive */

/* results[i] belongs to command->u.acks.items[i]. */
void api_render_acks(const struct api_command *c, const enum settle_result *results, struct arena *a,
                     struct api_response *out);

/* The reply to an API_CALL: declare, describe, list, delete, peek, purge, redrive, ledger, pause, resume, close, open,
 * explain; and the calls on topics. */
void api_render_reply(const struct api_command *c, const struct reply *reply, struct arena *a,
                      struct api_response *out);

/* Does this API_CALL change anything? A redrive with dry_run does not. */
bool api_call_changes(const struct api_command *c);
/* Likewise, when the call was sent and no reply came. If the call changes something, its result is unknown. */
void api_render_no_reply(const struct api_command *c, struct arena *a, struct api_response *out);

/* One subscription, with status 201 if `created`; and a page of the list, sorted by name. `next`: the name after which
 * the next page begins; "" on the last one. */
void api_render_subscription(const struct subscription_info *i, bool created, struct api_response *out);
void api_render_subscriptions(const struct subscription_info *infos, size_t count, const char *next,
                              struct api_response *out);

/* What Dapr's clients ask of their sidecar: metadata, with Sluice's `version`, and health; `trouble`: why it is not
 * attached. */
void api_render_dapr_metadata(const struct api_config *c, const char *version, struct api_response *out);
void api_render_dapr_health(const struct api_command *c, bool attached, const char *trouble, struct api_response *out);

/* application/problem+json {"type","title","status","detail","reason","retryable",...} for a reason. `detail` may be
 * NULL if the title says enough. Adds Retry-After (retry_after_ms, at least 1 s) if the reason is retryable and its
 * status 429, 503 or 507. */
void api_problem(enum reason reason, const char *detail, uint32_t retry_after_ms, struct arena *a,
                 struct api_response *out);
/* Likewise, for a command: adds its queue and topic, and the detail for this command if `detail` is NULL or "". */
void api_refuse(const struct api_command *c, enum reason reason, const char *detail, uint32_t retry_after_ms,
                struct arena *a, struct api_response *out);
void api_text(int status, const char *content_type, struct span body, struct api_response *out);

/* The OpenAPI 3.1 document, built into the binary from sidecar/api/openapi.json. */
struct span api_openapi(void);

#endif
