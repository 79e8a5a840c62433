/* The HTTP API's meaning, pure: a request struct in, a command or a finished response out; later the command's outcome
 * in, a response out. Knows no socket, no libmicrohttpd, no clock, no client: sidecar/http moves bytes, sidecar/link
 * talks to the broker, and both meet here. docs/http-api.md and openapi.json describe it; tests hold them together.
 *
 * Order of a request's life:
 *   api_begin    headers only, before the body is read: method, address, Host, Origin, token, limits -> maybe a response
 *   api_parse    with the body: everything else -> a command, or a response (errors; what needs no broker)
 *   (the command runs: sidecar/link)
 *   api_render_* its outcome -> a response
 *   api_finish   any response, before it is sent
 * Everything but a response's body is allocated in the request's arena. A response is zeroed by whoever makes it. */
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

/* What the API must know of its surroundings; owned by the sidecar, constant while a request lives. */
struct api_config {
    const char *app_name;               /* source of wrapped events: "/NAME"; also used in problem instances */
    bool operate;                       /* operating calls on the application listener too */
    const char *operations;             /* where the operations listener is, for people; NULL: nowhere */
    const char *token;                  /* of the listeners beyond loopback; NULL: none is asked */
    bool token_needed[3];               /* by listener */
    const struct setting_list *origins; /* allowed beside the listeners' own */
    const struct setting_list *hosts;   /* allowed beside loopback */
    const struct setting_list *pubsubs; /* names of Dapr's pub/sub components that mean this broker; none: "sluice" */
    bool app_named;                     /* app_name was given: subscriptions belong to it */
    int64_t publish_wait_ms, publish_wait_max_ms; /* 1,000 and 60,000 */
    int64_t take_wait_max_ms;                     /* 60,000 */
    uint32_t take_max;                            /* 1,000 */
    uint64_t take_bytes;                          /* 4 MiB */
    uint64_t event_max, batch_max_bytes;          /* 1 MiB, 4 MiB */
    uint32_t batch_max_events;                    /* 1,000 */
    bool draining;
};

/* A finished response. `body` is the response's own; it passes to whoever sends it (buf_free when nobody does). */
struct api_response {
    int status;
    const char *content_type; /* NULL: no body */
    struct buf body;
    struct api_header headers[8]; /* besides Content-Type and Content-Length; spans in the arena, NUL-terminated */
    size_t header_count;
};

enum api_command_kind {
    API_PUBLISH,
    API_PUBLISH_DAPR, /* of its route; the command is an API_PUBLISH */
    API_METADATA_DAPR,
    API_HEALTH_DAPR,
    API_TAKE,
    API_STREAM,
    API_ACKS,
    API_CALL,
    API_SUBSCRIBE,
    API_UNSUBSCRIBE,
    API_SUBSCRIPTION,  /* look at one */
    API_SUBSCRIPTIONS, /* at all */
    API_DRAIN,
    API_METRICS,
    API_HEALTH,
    API_LIVE,
    API_READY,
    API_STARTUP,
    API_DESCRIPTION,
    API_INDEX
};

/* One event of a publish: its encoded form for the broker, its id for the answer, whether the id was made up here
 * (a retry could then not be told from a new event), and if not, what the broker tells a retry by. */
struct api_event {
    struct span encoded;
    struct span id;
    bool id_generated;
    uint8_t hash[EVENT_HASH_SIZE]; /* event_hash; zeros: made up */
    struct client_terms terms;
};

/* How taken and peeked events are written. */
enum api_format { API_JSON, API_PROTOBUF };

struct api_route;
struct api_command {
    enum api_command_kind kind;
    const struct api_route *route; /* routes.h; for metrics */
    const char *queue;
    uint64_t sequence;        /* of {n} */
    const char *subscription; /* its name; NULL: not about one */
    const char *topic;        /* likewise */
    const char *away;         /* why no broker is reached, to be said where that is the reason; NULL: not known */
    union {
        struct {
            struct api_event *events;
            size_t count;
            bool batch;
            bool dapr; /* asked and answered as Dapr's HTTP API has it */
            uint32_t wait_ms;
            struct client_terms terms; /* of every event; its own expiry goes before */
        } publish;
        struct {
            uint32_t max;
            int64_t wait_ms;
            enum api_format format;
        } take;
        struct {
            uint32_t window; /* most events handed over and not settled */
            bool head_only;
        } stream;
        struct {
            struct receipt_ack *settles;
            size_t count;
        } acks;
        struct {
            struct request request;
            bool ledger_only;
        } call; /* request.id unset */
        struct {
            struct subscription_settings *change; /* of API_SUBSCRIBE; in the arena, not complete */
            const char *after;                    /* of API_SUBSCRIPTIONS: names behind it */
            uint32_t limit;
        } subscription;
    } u;
};

enum api_answer { API_CONTINUE, API_COMMAND, API_RESPONSE };

/* Judges the headers. API_RESPONSE: answer that and discard the body; *close: and close the connection.
 * API_CONTINUE: read the body, of at most *body_limit bytes (beyond it: api_problem(REASON_too_large)).
 * Refuses, as libmicrohttpd does not: Content-Length with Transfer-Encoding, differing Content-Lengths, more than one Host. */
enum api_answer api_begin(const struct api_config *c, const struct api_request *r, struct arena *a,
                          uint64_t *body_limit, struct api_response *out, bool *close);
/* By its method and address: is it a publish? */
bool api_is_publish(const struct api_request *r);

/* What every answer has besides, the refused ones', too; once, just before it is sent: a page of an allowed origin may read it. */
void api_finish(const struct api_config *c, const struct api_request *r, struct arena *a, struct api_response *out);

/* `random`: 16 bytes for a generated id; each further id of a batch is derived from it. */
enum api_answer api_parse(const struct api_config *c, const struct api_request *r, const uint8_t random[16],
                          struct now now, struct arena *a, struct api_command *command, struct api_response *out);

/* ---- outcomes -> responses */

struct api_outcome {
    enum reason reason;
    uint64_t sequence;
    uint64_t depth, capacity;
    uint32_t retry_after_ms;
    const char *queue; /* of a topic: the queue that refused; NULL otherwise */
    /* Of a topic: the queues that have it, with its sequence in each. */
    bool is_topic;
    const struct target *targets;
    size_t target_count;
};
/* outcomes[i] belongs to command->u.publish.events[i]. */
void api_render_publish(const struct api_command *c, const struct api_outcome *outcomes, struct arena *a,
                        struct api_response *out);

/* `receipt` is the event's own, complete. */
struct api_taken {
    uint64_t sequence;
    uint32_t attempt;
    struct span receipt;
    struct span event;
    uint32_t lease_ms;
};
/* `standby`: this sidecar waits behind another consumer (header Sluice-Consumer: standby; else active, and
 * Sluice-Consumer-Epoch, the fencing token). */
void api_render_take(const struct api_command *c, const struct api_taken *events, size_t count, bool standby,
                     uint64_t consumer_epoch, struct arena *a, struct api_response *out);

/* A stream of Server-Sent Events (WHATWG HTML, 9.2): its head, with the beginning of its body, and what follows. Each
 * appends whole lines and the empty one that ends them. */
void api_render_stream(bool standby, uint64_t consumer_epoch, struct arena *a, struct api_response *out);
/* The whole answer to one that cannot begin for a reason that passes by itself: a browser asks again, as the text says, only
 * if the status is 200. */
void api_render_stream_end(const struct api_command *c, enum reason reason, struct arena *a, struct api_response *out);
void api_stream_event(const struct api_taken *event, struct buf *out);
void api_stream_consumer(uint64_t consumer_epoch, struct buf *out); /* what follows is of this turn */
void api_stream_end(const struct api_command *c, enum reason reason, struct buf *out);
void api_stream_beat(struct buf *out); /* nothing: it shows that the connection lives */

/* results[i] belongs to command->u.acks.settles[i]. */
void api_render_acks(const struct api_command *c, const enum settle_result *results, struct arena *a,
                     struct api_response *out);

/* Of API_CALL, those on topics among them: declare, describe, list, delete, peek, purge, redrive, ledger, pause, resume, close, open. */
void api_render_reply(const struct api_command *c, const struct reply *reply, struct arena *a,
                      struct api_response *out);

/* Does such a call change anything? */
bool api_call_changes(const struct api_command *c);
/* The same, when the broker was there and did not answer: of a call that changes something nobody knows whether it did. */
void api_render_no_reply(const struct api_command *c, struct arena *a, struct api_response *out);

/* Subscriptions: 201 when `created`; all of them, in the order of their names. */
void api_render_subscription(const struct subscription_info *i, bool created, struct api_response *out);
void api_render_subscriptions(const struct subscription_info *infos, size_t count, const char *next,
                              struct api_response *out);

/* What Dapr's clients ask of their sidecar: metadata, with our version, and health; `trouble` says why it is not attached. */
void api_render_dapr_metadata(const struct api_config *c, const char *version, struct api_response *out);
void api_render_dapr_health(const struct api_command *c, bool attached, const char *trouble, struct api_response *out);

/* application/problem+json {"type","title","status","detail","reason","retryable",...} for a reason; detail may be NULL
 * (the title says it). Adds Retry-After where the reason is retryable (from retry_after_ms, at least 1 s). */
void api_problem(enum reason reason, const char *detail, uint32_t retry_after_ms, struct arena *a,
                 struct api_response *out);
/* The same for a refusal of a command: names its queue, and which queue does not exist. */
void api_refuse(const struct api_command *c, enum reason reason, const char *detail, uint32_t retry_after_ms,
                struct arena *a, struct api_response *out);
void api_text(int status, const char *content_type, struct span body, struct api_response *out);

/* The OpenAPI 3.1 document, built into the binary from sidecar/api/openapi.json. */
struct span api_openapi(void);

#endif
