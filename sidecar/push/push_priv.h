/* Shared by push.c (pushes) and subscriptions.c (the list of subscriptions, and what is reported of them). Private to
 * sidecar/push. */
#ifndef SLUICE_SIDECAR_PUSH_PRIV_H
#define SLUICE_SIDECAR_PUSH_PRIV_H

#include "sidecar/push/lifecycle.h"
#include "sidecar/push/push.h"
#include "sidecar/push/sender.h"

/* Upper bounds of the histogram's buckets, in milliseconds: from loopback to most of a usual lease. */
#define PUSH_BOUNDS_MS                                                                                                 \
    {                                                                                                                  \
        1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000                                             \
    }
#define PUSH_BOUNDS 14u

/* A slot in use: it waits for an event, pushes one, or sends the handshake. */
enum slot_kind { SLOT_WAITING, SLOT_PUSHING, SLOT_HANDSHAKE };
struct slot {
    struct slot *prev, *next;
    struct subscription *subscription;
    enum slot_kind kind;
    struct transfer *transfer;
    unsigned life; /* the subscription's, when the request was sent */
    enum subscription_dialect dialect;
    uint32_t attempt;
    mono_t started;
    struct buf receipt, headers, body;
};

struct subscription {
    struct subscription *next;
    struct push *push;
    char name[NAME_MAX_SIZE + 1];
    struct subscription_settings settings;
    struct subscription_target target;
    struct lifecycle lifecycle;
    unsigned life; /* grows when it is changed or restarted: an answer from an earlier life does not change the state */
    bool managed;
    uint64_t revision;
    bool ending; /* deleted; freed when its last push has ended */
    struct slot *slots;
    uint32_t waiting, pushing;
    uint64_t results[PUSH_RESULTS];
    uint64_t buckets[PUSH_BOUNDS + 1];
    int64_t took_ns;
    int last_status;
    char last_error[256];
    char detail[256]; /* why the state is not active, or was not before; "" */
    char logged[300]; /* the trouble that was logged last and is not over, as far as is known; "" */
};

struct push {
    struct uplink *uplink;
    struct sender *sender;
    const char *app;
    struct subscription *subscriptions; /* sorted by name */
    struct subscription *ending;
    size_t count;
    struct now now;
    bool draining;
    bool busy; /* the uplink has something to send */
};

/* Cancels waiting takes until `keep` are left. */
void push_cancel_takes(struct subscription *s, uint32_t keep);
/* Cancels the handshake that is under way, if any. */
void push_cancel_handshake(struct subscription *s);
/* Frees the subscription if it is ending and has no slots left. */
void push_end(struct subscription *s);

#endif
