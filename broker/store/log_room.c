/* Room in the active segment and its spares, and who has it. Events are admitted only while they fit without the last two spares: those
 * are for settling, moving and notes, for which nobody asks, and for a checkpoint when the disk is full (docs/log-format.md). */
#include "broker/store/log_state.h"

static uint64_t gathered(const struct log *l)
{
    return l->closed_bytes + (l->open ? group_bytes(l->open) : 0);
}

uint64_t group_room(const struct log *l)
{
    if (l->no_room && l->spares == 0)
        return 0; /* the active segment is the last one */
    uint64_t waiting = gathered(l);
    const struct segment *s = segment_active(l);
    uint64_t used = s->size + segment_table_size(s) + l->config.segment_size / 8;
    uint64_t room = used < l->config.segment_size ? l->config.segment_size - used : 0;
    if (l->spares > RESERVED)
        room += (l->spares - RESERVED) * (l->config.segment_size / 2);
    return waiting < room ? room - waiting : 0;
}

bool room_is_tight(const struct log *l, uint64_t bytes)
{
    return l->spares <= RESERVED && (l->no_room || group_room(l) < bytes + l->config.segment_size / 4);
}

/* Spares that are kept for a checkpoint's sake: where it is the disk that is full, it needs the room of one. */
static uint32_t kept(const struct log *l)
{
    return segment_is_at_budget(l) ? 0 : 1;
}

bool group_has_place(const struct log *l, uint64_t bytes)
{
    const struct segment *s = segment_active(l);
    return !l->no_room || l->spares > kept(l) ||
           s->size + segment_table_size(s) + gathered(l) + bytes <= l->config.segment_size;
}

/* Something is moved, and what waits before it leaves it a place in a segment more. */
static bool moves_into_one(const struct log *l)
{
    uint64_t bytes = SEGMENT_HEADER_SIZE + GROUP_HEADER_SIZE;
    for (const struct group *g = l->first_closed; g; g = g->next) {
        bytes += group_bytes(g);
        if (g->run_count)
            return bytes <= l->config.segment_size;
    }
    return false;
}

static bool has_runs(const struct group *g)
{
    while (g && g->run_count == 0)
        g = g->next;
    return g != NULL;
}

/* In the last segment what is moved gives room back, while notes could be carried: most of it is not for these. */
bool room_is_kept(const struct log *l)
{
    return l->no_room && l->spares == 0 && segment_is_at_budget(l) && !has_runs(l->first_closed) &&
           segment_active(l)->size + group_bytes(l->first_closed) > l->config.segment_size / 4;
}

/* Where there was room a moment ago it may have been that of the last one itself, which a checkpoint had and gave back: whether there is
 * another shows when it comes. */
bool room_may_begin(const struct log *l)
{
    if (l->spares > 1 || carry_is_barred(l))
        return true;
    return l->spares > kept(l) && (segment_active(l)->live_events == 0 || moves_into_one(l));
}
