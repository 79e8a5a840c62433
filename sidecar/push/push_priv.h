/* What push.c (pushes) and subscriptions.c (their list, looking) share. */
#ifndef SLUICE_SIDECAR_PUSH_PRIV_H
#define SLUICE_SIDECAR_PUSH_PRIV_H

#include "sidecar/push/lifecycle.h"
#include "sidecar/push/push.h"
#include "sidecar/push/sender.h"

/* Upper bounds of the histogram, in milliseconds: from loopback to the longest a lease usually gives. */
#define PUSH_BOUNDS_MS                                                                                                 \
    {                                                                                                                  \
        1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000                                             \
    }
#define PUSH_BOUNDS 14u

/* A slot in use: it waits for an event, has one at the application, or asks for its leave (a handshake). */
enum slot_kind { SLOT_WAITING, SLOT_PUSHING, SLOT_HANDSHAKE };
struct slot {
    struct slot *prev, *next;
    struct subscription *of;
    enum slot_kind kind;
    struct transfer *transfer;
    unsigned life; /* the subscription's, when it was sent */
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
    unsigned life; /* grows when it is put anew: what is sent before it says nothing of it */
    bool managed;
    uint64_t revision;
    bool ending; /* deleted; lives until its last push has ended */
    struct slot *slots;
    uint32_t waiting, pushing;
    uint64_t results[PUSH_RESULTS];
    uint64_t buckets[PUSH_BOUNDS + 1];
    int64_t took_ns;
    int last_status;
    char last_error[256];
    char detail[256]; /* of a state that is not active */
};

struct push {
    struct uplink *uplink;
    struct sender *sender;
    const char *app;
    struct subscription *subscriptions; /* in the order of their names */
    struct subscription *ending;
    size_t count;
    struct now now;
    bool draining;
    bool busy; /* the uplink has something to send */
};

/* Takes back the events that are waited for, all but `keep`. */
void push_cancel_takes(struct subscription *s, uint32_t keep);
/* Takes back a handshake that is under way. */
void push_cancel_handshake(struct subscription *s);
/* Frees one that is ending and has no slots any more. */
void push_end(struct subscription *s);

#endif
