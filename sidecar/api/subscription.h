/* A subscription's settings, by the sidecar's YAML and by call: the sidecar POSTs a queue's events to its application.
 * Pure. */
#ifndef SLUICE_SIDECAR_API_SUBSCRIPTION_H
#define SLUICE_SIDECAR_API_SUBSCRIPTION_H

#include "base/buf.h"
#include "base/error.h"
#include "base/settings.h"
#include "base/units.h"

#define SUBSCRIPTION_URL_MAX         2048u
#define SUBSCRIPTION_CONCURRENCY_MAX 1000u
#define SUBSCRIPTIONS_MAX            256u /* of a sidecar */

/* One that is zeroed is a change of nothing; `set` has a bit of each key that is given. */
enum subscription_key {
    SUBSCRIPTION_QUEUE,
    SUBSCRIPTION_URL,
    SUBSCRIPTION_CONCURRENCY,
    SUBSCRIPTION_TIMEOUT,
    SUBSCRIPTION_DIALECT,
    SUBSCRIPTION_HANDSHAKE,
    SUBSCRIPTION_KEYS
};

/* What is sent, and what the answer says: binary mode and the status; or, as Dapr's sidecar talks to its applications, a
 * structured event and the status in the answer's body. */
enum subscription_dialect { DIALECT_CLOUDEVENTS, DIALECT_DAPR };

struct subscription_settings {
    unsigned set;
    char queue[NAME_MAX_SIZE + 1];
    char url[SUBSCRIPTION_URL_MAX + 1];
    uint32_t concurrency; /* 1 to 1,000; 1 */
    int64_t timeout_ms;   /* 100 ms to 12 h; 25 s */
    bool handshake;
    enum subscription_dialect dialect;
};

const char *subscription_dialect_name(enum subscription_dialect dialect);
/* The key's name: "concurrency". */
const char *subscription_key_name(enum subscription_key key);
/* The key of that name; false with a sentence that says which was meant. */
bool subscription_find_key(struct span key, enum subscription_key *out, struct error *why);
/* Sets one key from text, as YAML has it and a JSON string. False with a sentence. */
bool subscription_parse(struct subscription_settings *s, struct span key, struct span value, struct error *why);
/* From a JSON number or boolean. */
bool subscription_put_number(struct subscription_settings *s, struct span key, int64_t value, struct error *why);
bool subscription_put_bool(struct subscription_settings *s, struct span key, bool value, struct error *why);
/* Takes over what `change` sets. */
void subscription_merge(struct subscription_settings *s, const struct subscription_settings *change);
/* Fills in what is not set; what cannot be made up must be there, and the URL must be one that may be pushed to: loopback,
 * a unix socket, or a host listed in `allow` (HOST or HOST:PORT; NULL: none). False with a sentence. */
bool subscription_complete(struct subscription_settings *s, const struct setting_list *allow, struct error *why);
/* As the broker keeps them: a line "key value" for each. Reading takes what writing gave; a key of a later version is an error,
 * because what it asks for could not be kept. */
void subscription_write(const struct subscription_settings *s, struct buf *out);
bool subscription_read(struct span bytes, struct subscription_settings *out, struct error *why);
bool subscription_equal(const struct subscription_settings *a, const struct subscription_settings *b);

/* Where a URL leads, in the terms of an HTTP client. */
struct subscription_target {
    char socket[108];                    /* path of the unix socket; "": by TCP */
    char url[SUBSCRIPTION_URL_MAX + 32]; /* http://HOST[:PORT]/PATH; of a socket http://localhost/PATH */
};
/* Takes apart a URL that subscription_complete has let through. */
void subscription_target(const char *url, struct subscription_target *out);

/* One that the configuration file names. */
struct declared_subscription {
    struct declared_subscription *next;
    char name[NAME_MAX_SIZE + 1];
    struct subscription_settings settings;
};

/* What people see of a running one. */
enum subscription_state {
    SUBSCRIPTION_ACTIVE,
    SUBSCRIPTION_STANDBY,     /* another sidecar has the queue's turn */
    SUBSCRIPTION_HANDSHAKING, /* the application is asked whether it wants events */
    SUBSCRIPTION_REFUSED,     /* it does not; asked again later */
    SUBSCRIPTION_UNREACHABLE, /* nobody takes the connection; tried again later */
    SUBSCRIPTION_THROTTLED,   /* the application asked to wait: Retry-After */
    SUBSCRIPTION_NO_QUEUE,    /* the queue cannot be consumed; tried again later */
    SUBSCRIPTION_STOPPED,     /* 410: until it is put again */
    SUBSCRIPTION_DRAINING
};
const char *subscription_state_name(enum subscription_state state);

enum push_result {
    PUSH_ACKED,       /* 2xx */
    PUSH_FAILED,      /* another status, no answer in time, a broken one */
    PUSH_THROTTLED,   /* 429 or 503 with Retry-After: the event waits as long, uncounted */
    PUSH_GONE,        /* 410: the event went back uncounted */
    PUSH_DROPPED,     /* the application will never have it: dead at once */
    PUSH_UNREACHABLE, /* the connection failed before a byte was sent: the same */
    PUSH_RESULTS
};
const char *push_result_name(enum push_result result);

/* A subscription as it is now. */
struct subscription_info {
    const char *name;
    const struct subscription_settings *settings;
    bool managed; /* by the configuration file */
    enum subscription_state state;
    const char *detail;  /* a sentence on the state; "" */
    int64_t retry_in_ms; /* -1: nothing is waited for */
    uint32_t in_flight;
    uint64_t results[PUSH_RESULTS];
    int last_status;        /* of the newest answer; 0: none yet */
    const char *last_error; /* of the newest push that was not acked; "" */
};

#endif
