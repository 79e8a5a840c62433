/* HTTP requests to applications, by libcurl's multi interface on the sidecar's event loop. libcurl is initialized, and
 * takes memory, only with the first request. Private to sidecar/push; only sender.c and transfer.c use libcurl. */
#ifndef SLUICE_SIDECAR_PUSH_SENDER_H
#define SLUICE_SIDECAR_PUSH_SENDER_H

#include "base/buf.h"
#include "sidecar/push/verdict.h"

struct sender;
struct transfer; /* one request under way */

struct sender_request {
    const char *method; /* POST or OPTIONS */
    const struct subscription_target *target;
    const struct buf *headers; /* lines "name: value", each terminated by NUL */
    struct span body;          /* must stay valid until the request has ended */
    int64_t limit_ms;          /* for the whole request */
    bool keep_body;            /* keep all of the answer's body, which then may have SENDER_KEPT_MAX bytes */
};

/* Valid during the call. */
struct sender_answer {
    struct push_outcome outcome;
    struct span allowed_origin; /* WebHook-Allowed-Origin */
};

/* Limits on an answer: its body, its body if kept, its headers. Beyond them the request fails and its connection is
 * closed. */
#define SENDER_ANSWER_MAX  (1u << 20)
#define SENDER_KEPT_MAX    (64u << 10)
#define SENDER_HEADERS_MAX (64u << 10)

/* `done` is called from sender_run, once for each request that was started and not cancelled. NULL with a message in
 * *e. */
struct sender *sender_open(void (*done)(void *cookie, const struct sender_answer *answer), struct error *e);
/* Cancels the requests under way; NULL is allowed. */
void sender_close(struct sender *s);
/* NULL if the request could not be started; `done` is not called then. */
struct transfer *sender_start(struct sender *s, const struct sender_request *request, void *cookie);
void sender_cancel(struct sender *s, struct transfer *x);

/* ---- for the event loop: one descriptor to poll (level-triggered) */
int sender_fd(const struct sender *s);
/* True if a request ended. */
bool sender_run(struct sender *s, mono_t now);
/* When to call sender_run at the latest. */
mono_t sender_due(const struct sender *s);

#endif
