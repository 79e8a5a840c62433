/* HTTP requests to applications, by libcurl's multi interface on the sidecar's loop. Nothing of libcurl exists, and costs
 * memory, before the first request. Private to sidecar/push; sender.c and transfer.c alone know libcurl. */
#ifndef SLUICE_SIDECAR_PUSH_SENDER_H
#define SLUICE_SIDECAR_PUSH_SENDER_H

#include "base/buf.h"
#include "sidecar/push/verdict.h"

struct sender;
struct transfer; /* one request under way */

struct sender_request {
    const char *method; /* POST or OPTIONS */
    const struct subscription_target *target;
    const struct buf *headers; /* lines, "name: value", each with its NUL */
    struct span body;          /* valid until the request has ended */
    int64_t limit_ms;          /* for all of it */
    bool keep_body;            /* all of the answer's, which may then have SENDER_KEPT_MAX bytes */
};

/* Valid during the call. */
struct sender_answer {
    struct push_outcome outcome;
    struct span allowed_origin; /* WebHook-Allowed-Origin */
};

/* How much of an answer is read: beyond it the request has failed and its connection is closed. */
#define SENDER_ANSWER_MAX  (1u << 20)
#define SENDER_KEPT_MAX    (64u << 10)
#define SENDER_HEADERS_MAX (64u << 10)

/* `done` is called once for each request that was started and not cancelled, within sender_run. */
struct sender *sender_open(void (*done)(void *cookie, const struct sender_answer *answer), struct error *e);
/* Cancels what is under way. */
void sender_close(struct sender *s);
/* NULL: it could not even begin. */
struct transfer *sender_start(struct sender *s, const struct sender_request *request, void *cookie);
void sender_cancel(struct sender *s, struct transfer *x);

/* ---- the loop's part: one descriptor to poll (level-triggered) */
int sender_fd(const struct sender *s);
/* True when a request has ended. */
bool sender_run(struct sender *s, mono_t now);
mono_t sender_due(const struct sender *s);

#endif
