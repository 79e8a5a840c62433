/* The room in the active segment and its spares, and who may use it. Events are admitted only while they fit without
 * the last two spares. Those are reserved for settlements, moves and notes, which are never refused, and for a
 * checkpoint when the disk is full (docs/log-format.md, "A full disk"). */
#include "broker/store/log_move.h"

#define ROOM_MARGIN 4096u

static uint64_t waiting_bytes(const struct log *l)
{
    return l->closed_bytes + (l->open ? group_bytes(l->open) : 0);
}

/* The room for events with `used` bytes of the active segment used, so many spares, and `waiting` bytes of groups
 * without a place. */
static uint64_t room_with(const struct log *l, uint64_t used, uint32_t spares, uint64_t waiting)
{
    if (l->no_room && spares == 0)
        return 0; /* the active segment is the last one */
    used += l->config.segment_size / 8;
    uint64_t room = used < l->config.segment_size ? l->config.segment_size - used : 0;
    if (spares > RESERVED)
        room += (spares - RESERVED) * (l->config.segment_size / 2);
    return waiting < room ? room - waiting : 0;
}

uint64_t group_room(const struct log *l)
{
    const struct segment *s = segment_active(l);
    return room_with(l, s->size + segment_table_size(s), l->spares, waiting_bytes(l));
}

static uint64_t margin_of(const struct log *l)
{
    return l->config.segment_size / 8 < ROOM_MARGIN ? l->config.segment_size / 8 : ROOM_MARGIN;
}

/* Keeps a margin for the headers of runs. The margin must stay well below a spare's worth of room, or nothing would
 * ever be admitted to a spare. */
uint64_t room_for_events(const struct log *l)
{
    uint64_t room = group_room(l), margin = margin_of(l);
    return room > margin ? room - margin : 0;
}

bool room_is_exhausted(const struct log *l)
{
    return l->no_room && room_for_events(l) < l->config.segment_size / 8;
}

bool room_is_tight(const struct log *l, uint64_t bytes)
{
    return l->spares <= RESERVED && (l->no_room || group_room(l) < bytes + l->config.segment_size / 4);
}

/* How many spares are kept back for a checkpoint: one when the file system is full, because the checkpoint may need
 * its room. When only the budget is used up, none: a checkpoint may exceed it. */
static uint32_t kept_for_checkpoint(const struct log *l)
{
    return segment_is_at_budget(l) ? 0 : 1;
}

static bool active_holds(const struct log *l, uint64_t bytes)
{
    const struct segment *s = segment_active(l);
    return s->size + segment_table_size(s) + bytes <= l->config.segment_size;
}

bool group_has_place(const struct log *l, uint64_t bytes)
{
    return !l->no_room || l->spares > kept_for_checkpoint(l) || active_holds(l, waiting_bytes(l) + bytes);
}

/* How many of the bytes still go into the active segment: groups fill it up to where the next one does not fit. */
static uint64_t tail_for(const struct log *l, uint64_t used, uint64_t bytes)
{
    used += l->config.segment_size / 8;
    uint64_t tail = used < l->config.segment_size ? l->config.segment_size - used : 0;
    return tail < bytes ? tail : bytes;
}

bool room_is_gained_by(const struct log *l, uint64_t bytes)
{
    const struct segment *s = segment_active(l);
    uint64_t size = l->config.segment_size, used = s->size + segment_table_size(s) + waiting_bytes(l);
    uint64_t now = group_room(l) + l->spares * size, then;
    if (used + bytes <= size)
        then = room_with(l, used + bytes, l->spares + 1, 0) + (l->spares + 1) * size;
    else if (l->spares > kept_for_checkpoint(l))
        then = room_with(l, SEGMENT_HEADER_SIZE + bytes - tail_for(l, used, bytes), l->spares, 0) + l->spares * size;
    else
        return false;
    return then >= now + size / 8;
}

bool room_may_seal_active(const struct log *l)
{
    return l->spares > 1 || (l->spares > kept_for_checkpoint(l) && plan_may_seal_active(l));
}

/* Bytes of the waiting groups up to the last one with moved events; 0: there is none. */
static uint64_t up_to_moves(const struct log *l)
{
    uint64_t bytes = 0, all = 0;
    for (const struct group *g = l->first_closed; g; g = g->next) {
        all += group_bytes(g);
        bytes = g->run_count ? all : bytes;
    }
    return bytes;
}

/* Bytes of the segment being emptied that are in no group yet. */
static uint64_t still_to_move(const struct log *l)
{
    return l->plan ? plan_rest(l->plan) : 0;
}

/* The rest of the last segment is mostly reserved for moved events: once all of a segment is moved, room is gained,
 * while notes and settlements can be carried by a checkpoint. So groups without moves get a quarter of it, and moves
 * get a place only if all that is left of their segment fits behind them: moving a part would free nothing. */
bool room_is_reserved(const struct log *l)
{
    if (!l->no_room || l->spares || !segment_is_at_budget(l) || carry_is_barred(l))
        return false;
    uint64_t moves = up_to_moves(l), first = group_bytes(l->first_closed);
    bool too_many = !moves && segment_active(l)->size + first > l->config.segment_size / 4;
    return too_many || !active_holds(l, (moves ? moves : first) + still_to_move(l));
}

/* The last spare is for newly accepted events, which were promised a place. Otherwise it is taken only where a segment
 * is sure to be freed for it, and none has to be kept for a checkpoint:
 *
 *   - nothing in the active segment is live, so the next checkpoint frees it;
 *   - moved events wait, and all that is left of their segment fits into the spare.
 *
 * l->no_room is not asked: that there was room a moment ago may only mean that a checkpoint gave back the room of this
 * very spare. Whether another one can be had shows when it is there. */
bool room_may_take_spare(const struct log *l)
{
    if (l->spares > 1 || carry_is_barred(l))
        return true;
    uint64_t moves = up_to_moves(l), empty = SEGMENT_HEADER_SIZE + GROUP_HEADER_SIZE + table_bound(0, 0, 0);
    bool moves_into_it = moves && empty + moves + still_to_move(l) <= l->config.segment_size;
    return l->spares > kept_for_checkpoint(l) && (segment_active(l)->live_events == 0 || moves_into_it);
}
