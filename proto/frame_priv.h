/* What the readers of frames share. Private to proto. */
#ifndef SLUICE_PROTO_FRAME_PRIV_H
#define SLUICE_PROTO_FRAME_PRIV_H

#include "proto/frame.h"

/* Sequences stay below this, so that they survive JSON. */
#define SEQUENCE_MAX (UINT64_C(1) << 53)

/* Loops over the fields of `r`; returns FRAME_BAD from the enclosing function if one is malformed. */
#define FOR_EACH_FIELD(r, f)                                                                                           \
    for (struct wire_field f; !wire_done(r);)                                                                          \
        if (!wire_next(r, &f))                                                                                         \
            return FRAME_BAD;                                                                                          \
        else

static inline bool frame_run_fits(uint64_t first, uint64_t count)
{
    return count > 0 && first < SEQUENCE_MAX && count < SEQUENCE_MAX && first + count <= SEQUENCE_MAX;
}

/* Is it field `tag`, with that wire type? */
static inline bool frame_field_is(const struct wire_field *f, uint32_t tag, enum wire_type type)
{
    return f->tag == tag && f->type == (uint32_t)type;
}

static inline uint32_t frame_small(uint64_t number)
{
    return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

/* Reads a body of a name (field 1, unless `name` is NULL) and numbers: field n goes to numbers[n - 1]. */
enum frame_status frame_numbers(struct wire_reader r, struct span *name, uint64_t *numbers, uint32_t count);

#endif
