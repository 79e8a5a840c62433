/* Redrives under way. Private to redrive.c, which handles requests and progress, and redrive_move.c, which moves
 * events. */
#ifndef SLUICE_BROKER_CORE_REDRIVE_H
#define SLUICE_BROKER_CORE_REDRIVE_H

#include "broker/core/deliver/trouble.h"

struct redrive {
    uint64_t tag;        /* of its loads */
    uint32_t queue, to;  /* their ids: either may be deleted meanwhile */
    uint64_t *sequences; /* the events that were dead when it was requested, ascending */
    size_t count, at;    /* at: index of the next one */
    struct buf filter;   /* encoded; empty: everything */
    bool dry_run;
    uint64_t redriven;

    /* With a rate: it was answered when it began, and goes on in steps. */
    uint32_t rate;      /* events per second; 0: no rate */
    uint64_t allowance; /* thousandths of events that it may move … */
    mono_t allowed_at;  /* … as of this time */
    bool waits;         /* for room at its target */
    struct timer timer; /* its next step; in core->redrive_timers */

    /* Without a rate: the request is answered when it ends. */
    struct route route;
    struct token id;
    struct buf request; /* packed, for the reply cache */
    struct redrive *next;
};

enum redrive_step {
    REDRIVE_DONE,   /* all events have been handled */
    REDRIVE_LOAD,   /* the next one is on disk */
    REDRIVE_FULL,   /* the target has no room, publishers wait for it, or it is closed */
    REDRIVE_ENOUGH, /* as many as the rate allows now */
};

/* Moves events whose bytes are in memory, until one of the above stops it. */
enum redrive_step redrive_move(struct core *c, struct redrive *r, struct queue *q, struct queue *to);
/* The same with events that were loaded from the disk; REDRIVE_LOAD: all of these are handled. */
enum redrive_step redrive_move_loaded(struct core *c, struct redrive *r, struct queue *q, struct queue *to,
                                      const struct store_completion *done);
/* Starts loading the next events from the disk; with a rate and no filter no more than may be moved now. */
void redrive_load(struct core *c, const struct redrive *r, const struct queue *q);
/* Increases the allowance by the time that passed, up to a fifth of a second's worth, or one event. */
void redrive_allow(struct redrive *r, mono_t now);
/* When the rate allows the next event; at least one step from now. */
mono_t redrive_allowed_next(const struct redrive *r, mono_t now);

#endif
