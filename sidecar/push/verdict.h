/* What a push came to, and what follows from it: pure. The rules are those of the CloudEvents web hook specification
 * (cloudevents/http-webhook.md 1.0.2, 2.2 and 4.2) and of docs/protocol.md, C.4. */
#ifndef SLUICE_SIDECAR_PUSH_VERDICT_H
#define SLUICE_SIDECAR_PUSH_VERDICT_H

#include "base/mono.h"
#include "base/span.h"
#include "sidecar/api/subscription.h"

/* So much of an answer that is no success is kept for people. */
#define PUSH_EXCERPT_MAX 200u

/* How a transfer ended. */
enum push_end {
    PUSH_ANSWERED,      /* a whole answer; `status` says which */
    PUSH_NOT_SENT,      /* it ended before a byte of the request was sent: no connection */
    PUSH_TIMED_OUT,     /* sent, and no whole answer in time */
    PUSH_BROKEN,        /* sent, and the connection ended or what came is no HTTP */
    PUSH_ANSWER_TOO_BIG /* more came back than is read */
};

struct push_outcome {
    enum push_end end;
    int status;
    struct span retry_after; /* the header's value; empty: none */
    const char *error;       /* of an end without an answer, for people */
    struct span body; /* of an answer: its beginning, PUSH_EXCERPT_MAX bytes at least, or all where it was asked for */
};

/* What to do with the event and with the subscription. */
struct push_verdict {
    enum push_result result;
    int64_t pause_ms; /* of PUSH_THROTTLED, else 0: how long nothing more is pushed, and how long the event waits */
    const char *word; /* what the answer's body said, where that decided; else NULL */
};

/* Retry-After is obeyed within these: no application is asked without end, no event kept from it for longer. */
#define PUSH_PAUSE_MIN_MS 100
#define PUSH_PAUSE_MAX_MS (INT64_C(6) * 3600 * 1000)

struct push_verdict push_judge(const struct push_outcome *o, wall_t now);
/* The same of the dialect dapr: of a 2xx the body's {"status"} decides, SUCCESS, RETRY or DROP; none, an empty one and a body
 * that is no JSON object are a success, as Dapr has it. 404 drops. */
struct push_verdict push_judge_dapr(const struct push_outcome *o, wall_t now);

/* What an answer's body says to people: its beginning, cut between characters, one line; "" where it is no UTF-8. */
void push_excerpt(struct span body, char out[PUSH_EXCERPT_MAX + 1]);

/* Retry-After: seconds, or a date (RFC 9110, 10.2.3; its preferred form). False when it is neither. */
bool push_retry_after(struct span value, wall_t now, int64_t *ms);

/* An answer's header line, "name: value\r\n": when it is the named one, its value, and 0 for the size of one that is too long. */
#define PUSH_HEADER_MAX 256u
void push_header(struct span line, const char *name, char out[PUSH_HEADER_MAX], size_t *size);

/* Does the answer to a handshake allow `origin`? `allowed` is the WebHook-Allowed-Origin header's value. */
bool push_is_allowed(struct span allowed, const char *origin);

/* How long to wait before the connection is tried again after `tries` failures in a row (1: the first): doubling from
 * 250 ms to 10 s, and of that a random part between half and all. */
int64_t push_reconnect_ms(unsigned tries, uint32_t random);

/* How long the application may take: what the subscription says, but always within five sixths of the lease, so that its
 * word still counts when it comes. */
int64_t push_time_limit_ms(int64_t timeout_ms, uint32_t lease_ms);

#endif
