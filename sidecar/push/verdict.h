/* The outcome of a push, and the verdict that follows from it for the event and the subscription. Pure. The rules are
 * those of the CloudEvents web hook specification (cloudevents/http-webhook.md 1.0.2, 2.2 and 4.2) and of
 * docs/protocol.md, C.4. */
#ifndef SLUICE_SIDECAR_PUSH_VERDICT_H
#define SLUICE_SIDECAR_PUSH_VERDICT_H

#include "base/mono.h"
#include "base/span.h"
#include "sidecar/api/subscription.h"

/* How many bytes of an unsuccessful answer's body are kept to be shown to people. */
#define PUSH_EXCERPT_MAX 200u

/* How a transfer ended. */
enum push_end {
    PUSH_ANSWERED,      /* with a complete answer; see `status` */
    PUSH_NOT_SENT,      /* failed before a byte of the request was sent: no connection */
    PUSH_TIMED_OUT,     /* sent, but no complete answer in time */
    PUSH_BROKEN,        /* sent, but the connection ended or the answer was not HTTP */
    PUSH_ANSWER_TOO_BIG /* the answer was larger than is read */
};

struct push_outcome {
    enum push_end end;
    int status;
    struct span retry_after; /* the header's value; empty: none */
    const char *error;       /* if there was no answer: why, for people */
    struct span body; /* of an answer: its beginning, at least PUSH_EXCERPT_MAX bytes, or all of it with keep_body */
};

/* What happens to the event and to the subscription. */
struct push_verdict {
    enum push_result result;
    int64_t pause_ms; /* PUSH_THROTTLED: how long no event is pushed and this event is delayed; else 0 */
    const char *word; /* the status in the answer's body, if that was decisive; else NULL */
};

/* Retry-After is clamped to these: an application is not called in a busy loop, and no event is withheld for longer. */
#define PUSH_PAUSE_MIN_MS 100
#define PUSH_PAUSE_MAX_MS (INT64_C(6) * 3600 * 1000)

struct push_verdict push_judge(const struct push_outcome *o, wall_t now);
/* Likewise for the dialect dapr. After a 2xx the body's {"status"} decides: SUCCESS, RETRY or DROP. As in Dapr, a
 * missing or empty status and a body that is not a JSON object are a success. 404 drops the event. */
struct push_verdict push_judge_dapr(const struct push_outcome *o, wall_t now);

/* The beginning of an answer's body, to be shown to people: cut between characters, on one line; "" if it is not
 * UTF-8. */
void push_excerpt(struct span body, char out[PUSH_EXCERPT_MAX + 1]);

/* Parses Retry-After: seconds, or a date in the preferred format (RFC 9110, 10.2.3). False if it is neither. */
bool push_retry_after(struct span value, wall_t now, int64_t *ms);

/* If the header line ("name: value\r\n") is the one named `name`, writes its value to `out` and *size; *size is 0 if
 * the value is too long. Otherwise changes nothing. */
#define PUSH_HEADER_MAX 256u
void push_header(struct span line, const char *name, char out[PUSH_HEADER_MAX], size_t *size);

/* Does the answer to a handshake allow `origin`? `allowed` is the value of its WebHook-Allowed-Origin header. */
bool push_is_allowed(struct span allowed, const char *origin);

/* How long to wait after `tries` failures in a row (1: the first) before the next try: doubles from 250 ms to 10 s,
 * with jitter between half and all of that. */
int64_t push_reconnect_ms(unsigned tries, uint32_t random);

/* How long the application may take: the subscription's timeout, but at most five sixths of the lease, so that the
 * answer can still settle the event. */
int64_t push_time_limit_ms(int64_t timeout_ms, uint32_t lease_ms);

#endif
