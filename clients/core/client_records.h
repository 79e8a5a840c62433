/* The entries of a destination from publish to outcome, kept in rings; private to client_publish.c and
 * client_outcome.c. */
#ifndef SLUICE_CLIENT_RECORDS_H
#define SLUICE_CLIENT_RECORDS_H

#include "clients/core/client_block.h"

/* After an entry's deadline the broker's own refusal, which knows more, may still be on its way. */
#define GRACE_MS 50
/* How long an entry that tries once, and a Skip, wait for their answer. */
#define ANSWER_MS 1000

static inline struct record *record_at(const struct records *r, uint32_t index)
{
    return &r->ring[(r->head + index) & (r->capacity - 1)];
}

struct record *record_push(struct records *r);    /* at the end; the caller fills it in */
void record_pop(struct records *r);               /* the first */
void record_release(struct record *r);            /* its bytes, which it shares with the others of its publish */
void record_drop_decided(struct records *unsent); /* at the front: given up before they were sent */
/* Out of a block whose undecided entries are all among them; it ends. */
void records_move_out(const struct records *sent, struct block *b);

/* The destination of that name, made with the first call; NULL for a name that is too long. */
struct outlet *outlet_of(struct client *c, struct span name);
/* With all its records, of which nobody is told. */
void outlet_free(struct client *c, struct outlet *o);

#endif
