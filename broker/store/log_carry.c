/* Groups that find no place in a segment. Events are admitted only while they surely find one. Settlements, notes and
 * moves are never refused, so they may fill the reserve before anything is freed. Then no segment can be begun, but a
 * checkpoint can be written, and it contains everything that the waiting groups say: it has the core's state and the
 * settled ranges as of now, whether placed or not. So the checkpoint *carries* these groups: once it is durable they
 * are, too, and need no place any more. It frees segments as any other checkpoint does.
 *
 * Newly accepted events cannot be carried, because a checkpoint only says where events are. Moves are dropped: what
 * they would have copied is still where it was, and is moved later. While the checkpoint is being written nothing is
 * placed, or a start would apply again what the checkpoint has.
 *
 * A ticket is a group's number, counting the carried ones. The numbers on disk have no gaps: they are lower by
 * log.carried. */
#include "broker/store/log_parts.h"

#include "base/mutation.h"

bool carry_is_barred(const struct log *l)
{
    for (const struct group *g = l->first_closed; g; g = g->next) {
        if (g->has_events)
            return true;
    }
    return false;
}

/* Do the waiting groups only lack room, and may all of them be carried? */
static bool may_carry(const struct log *l)
{
    if (!l->first_closed || l->failed || l->committing || l->checkpointing || !l->no_room || l->spare_pending)
        return false;
    return !carry_is_barred(l) && !MUTATED(carry_nothing);
}

void carry_consider(struct log *l)
{
    if (!may_carry(l) || mono_before(l->now, l->checkpoint_again))
        return;
    uint64_t through = l->carry_through = l->last_closed->number;
    checkpoint_start(l);
    if (MUTATED(carry_unsynced)) {
        carry_done(l, true);
        l->carry_through = through;
    }
}

mono_t carry_due(const struct log *l)
{
    return may_carry(l) ? l->checkpoint_again : MONO_NEVER;
}

static void finish_carried(struct log *l)
{
    while (l->first_closed && l->first_closed->number <= l->carry_through) {
        group_add_in_flight(l, group_take_closed(l));
        l->carried++;
        l->info.carried_groups++;
    }
}

void carry_done(struct log *l, bool durable)
{
    uint64_t through = l->carry_through;
    if (through && durable && !l->failed) {
        finish_carried(l);
        l->placed = l->commit_through = l->written = l->durable = l->synced = through;
        group_free_durable(l);
        compact_give_up(l, through);
    }
    l->carry_through = 0;
}
