/* The settings of a subscription, from the sidecar's YAML or a call: the sidecar POSTs the events of a queue to its
 * application. Pure. */
#ifndef SLUICE_SIDECAR_API_SUBSCRIPTION_H
#define SLUICE_SIDECAR_API_SUBSCRIPTION_H

#include "base/buf.h"
#include "base/error.h"
#include "base/settings.h"
#include "base/units.h"

#define SUBSCRIPTION_URL_MAX         2048u
#define SUBSCRIPTION_CONCURRENCY_MAX 1000u
#define SUBSCRIPTIONS_MAX            256u /* per sidecar */

/* The keys; `set` of subscription_settings has a bit for each key that was given. Zeroed settings change nothing. */
enum subscription_key {
    SUBSCRIPTION_QUEUE,
    SUBSCRIPTION_URL,
    SUBSCRIPTION_CONCURRENCY,
    SUBSCRIPTION_TIMEOUT,
    SUBSCRIPTION_DIALECT,
    SUBSCRIPTION_HANDSHAKE,
    SUBSCRIPTION_KEYS
};

/* How events are sent and answered. cloudevents: binary mode, answered by the HTTP status. dapr: as Dapr's sidecar
 * does, a structured event, answered by the status in the answer's body. */
enum subscription_dialect { DIALECT_CLOUDEVENTS, DIALECT_DAPR };

struct subscription_settings {
    unsigned set;
    char queue[NAME_MAX_SIZE + 1];
    char url[SUBSCRIPTION_URL_MAX + 1];
    uint32_t concurrency; /* 1 to 1,000; default 1 */
    int64_t timeout_ms;   /* 100 ms to 12 h; default 25 s */
    bool handshake;
    enum subscription_dialect dialect;
};

const char *subscription_dialect_name(enum subscription_dialect dialect);
/* The key's name: "concurrency". */
const char *subscription_key_name(enum subscription_key key);
/* Finds a key by name; false with a message that suggests the closest one. */
bool subscription_find_key(struct span key, enum subscription_key *out, struct error *why);
/* Sets one key from text, as in YAML or a JSON string. False with a message. */
bool subscription_parse(struct subscription_settings *s, struct span key, struct span value, struct error *why);
/* Set one key from a JSON number or boolean. False with a message. */
bool subscription_put_number(struct subscription_settings *s, struct span key, int64_t value, struct error *why);
bool subscription_put_bool(struct subscription_settings *s, struct span key, bool value, struct error *why);
/* Copies the keys that are set in `change`. */
void subscription_merge(struct subscription_settings *s, const struct subscription_settings *change);
/* Fills in defaults and checks the whole: queue and url must be set, and the URL must be one that may be pushed to,
 * which is loopback, a unix socket, or a host listed in `allow` (HOST or HOST:PORT; NULL: none). False with a
 * message. */
bool subscription_complete(struct subscription_settings *s, const struct setting_list *allow, struct error *why);
/* The form in which the broker stores them: a line "key value" for each key. An unknown key, of a later version, is an
 * error when reading, because its setting could not be honoured. */
void subscription_write(const struct subscription_settings *s, struct buf *out);
bool subscription_read(struct span bytes, struct subscription_settings *out, struct error *why);
bool subscription_equal(const struct subscription_settings *a, const struct subscription_settings *b);

/* A URL as an HTTP client needs it. */
struct subscription_target {
    char socket[108];                    /* path of the unix socket; "": TCP */
    char url[SUBSCRIPTION_URL_MAX + 32]; /* http://HOST[:PORT]/PATH; for a unix socket http://localhost/PATH */
};
/* Splits a URL that subscription_complete has accepted. */
void subscription_target(const char *url, struct subscription_target *out);

/* A subscription in the configuration file. */
struct declared_subscription {
    struct declared_subscription *next;
    char name[NAME_MAX_SIZE + 1];
    struct subscription_settings settings;
};

/* The states of a running subscription, as they are reported. */
enum subscription_state {
    SUBSCRIPTION_ACTIVE,
    SUBSCRIPTION_STANDBY,     /* another sidecar is the queue's active consumer */
    SUBSCRIPTION_HANDSHAKING, /* asking the application whether it wants events */
    SUBSCRIPTION_REFUSED,     /* the handshake failed or was refused; retried later */
    SUBSCRIPTION_UNREACHABLE, /* no connection to the application; retried later */
    SUBSCRIPTION_THROTTLED,   /* the application asked to wait (Retry-After) */
    SUBSCRIPTION_NO_QUEUE,    /* the queue cannot be consumed; retried later */
    SUBSCRIPTION_STOPPED,     /* by a 410, until the subscription is put again */
    SUBSCRIPTION_DRAINING
};
const char *subscription_state_name(enum subscription_state state);

enum push_result {
    PUSH_ACKED,       /* 2xx */
    PUSH_FAILED,      /* any other status; no answer in time; a broken answer */
    PUSH_THROTTLED,   /* 429 or 503 with Retry-After: the event is deferred for that long: an attempt, not a failure */
    PUSH_GONE,        /* 410: the event is released, and the attempt not counted */
    PUSH_DROPPED,     /* the application refuses it for good: the event becomes dead at once */
    PUSH_UNREACHABLE, /* the connection failed before a byte was sent: released, as for PUSH_GONE */
    PUSH_RESULTS
};
const char *push_result_name(enum push_result result);

/* A subscription's present state. */
struct subscription_info {
    const char *name;
    const struct subscription_settings *settings;
    bool managed; /* comes from the configuration file */
    enum subscription_state state;
    const char *detail;  /* why it is in this state, for people; "" */
    int64_t retry_in_ms; /* -1: no wait */
    uint32_t in_flight;
    uint64_t results[PUSH_RESULTS];
    int last_status;        /* of the newest answer; 0: none yet */
    const char *last_error; /* the newest push that was not acked: why; "" */
};

#endif
