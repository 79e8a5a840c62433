/* Groups that find no place. Events are let in only while they surely find one, but settlements, notes and moves are never refused, so
 * the reserve may be full of them before anything was freed. No segment can be begun then; a checkpoint can be written. It has all that
 * the waiting groups say, since the core's state and what is settled are as of now, whatever is placed. So a checkpoint carries them:
 * once it is durable they are, and need no place any more. What it does not name is freed as by any other.
 *
 * Events cannot be carried, since a checkpoint only says where they are. Moves need not be: what they copy is still where it was, and is
 * looked at again. While the checkpoint is on its way nothing is placed, or a start would read again what it has.
 *
 * Tickets are the groups' numbers. On disk there is no gap where groups were carried: the numbers there are less by log.carried. */
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

/* Does what waits only lack room, and could go without? */
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

static void take_off(struct log *l)
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
        take_off(l);
        l->placed = l->commit_through = l->written = l->durable = l->synced = through;
        group_free_durable(l);
        compact_give_up(l, through);
    }
    l->carry_through = 0;
}
