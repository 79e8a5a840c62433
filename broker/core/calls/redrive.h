/* Redrives under way. Private to redrive.c, which is asked for them, and redrive_move.c, which does them. */
#ifndef SLUICE_BROKER_CORE_REDRIVE_H
#define SLUICE_BROKER_CORE_REDRIVE_H

#include "broker/core/deliver/trouble.h"

struct redrive {
    uint64_t tag;        /* of its loads */
    uint32_t queue, to;  /* ids: either may be deleted meanwhile */
    uint64_t *sequences; /* of what was dead when it was asked for, ascending */
    size_t count, at;    /* at: the next to look at */
    struct buf filter;   /* encoded; empty: everything */
    bool dry_run;
    uint64_t redriven;

    /* With a rate nobody waits for it: it goes on by itself, a step at a time. */
    uint32_t rate;      /* events a second; 0: at once, and its answer follows */
    uint64_t allowance; /* thousandths of events it may move now … */
    mono_t allowed_at;  /* … as of then */
    bool waits;         /* for room at its target */
    struct timer timer; /* in core->redrive_timers: its next step */

    /* Without one, somebody waits for its answer. */
    struct route route;
    struct token id;
    struct buf request; /* packed, to remember its answer under */
    struct redrive *next;
};

enum redrive_step {
    REDRIVE_DONE,   /* nothing is left to look at */
    REDRIVE_LOAD,   /* the next one is on disk */
    REDRIVE_FULL,   /* the target has no room for it, or what room it has is its publishers' */
    REDRIVE_ENOUGH, /* as many as the rate allows now */
};

/* Goes on with those whose bytes are in memory. */
enum redrive_step redrive_move(struct core *c, struct redrive *r, struct queue *q, struct queue *to);
/* With those that came from the disk; REDRIVE_LOAD: as far as they go. */
enum redrive_step redrive_move_loaded(struct core *c, struct redrive *r, struct queue *q, struct queue *to,
                                      const struct store_completion *done);
/* Asks the disk for the next ones: as many bytes as they will need. */
void redrive_load(struct core *c, const struct redrive *r, const struct queue *q);
/* What the rate allows grows with time, up to a fifth of a second's; when it allows the next one. */
void redrive_allow(struct redrive *r, mono_t now);
mono_t redrive_allowed_next(const struct redrive *r, mono_t now);

#endif
