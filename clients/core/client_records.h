/* Rings of records: the entries of a destination from publish to outcome. Private to client_publish.c and
 * client_outcome.c. */
#ifndef SLUICE_CLIENT_RECORDS_H
#define SLUICE_CLIENT_RECORDS_H

#include "clients/core/client_block.h"

/* How long after an entry's deadline to wait for the broker's own refusal, which carries more detail. */
#define GRACE_MS 50
/* How long an entry with wait_ms 0, and a Skip, wait for their answer. */
#define ANSWER_MS 1000

static inline struct record *record_at(const struct records *r, uint32_t index)
{
    return &r->ring[(r->head + index) & (r->capacity - 1)];
}

struct record *record_push(struct records *r); /* appends one; the caller fills it in */
void record_pop(struct records *r);            /* removes the first */
void record_release(struct record *r);         /* releases its block */
void record_drop_decided(
    struct records *unsent); /* removes decided ones at the front: given up before they were sent */
/* Copies the undecided entries of block `b`, all of them records of `sent`, into a new small block, which frees `b`. */
void records_move_out(const struct records *sent, struct block *b);

/* The destination of that name, created on first use; NULL if the name is too long. */
struct outlet *outlet_of(struct client *c, struct span name);
/* Frees it with all its records, without reporting outcomes. */
void outlet_free(struct client *c, struct outlet *o);

#endif
