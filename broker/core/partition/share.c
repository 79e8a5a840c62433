/* Which consumer has which partitions. The consumers that came first, as many as there are partitions, share them evenly; the rest
 * stand by. A partition changes hands only when it is drained: nothing of it is in flight, and its owner's session has
 * acknowledged the frames that brought it, so that no delivery whose lease ran out on its way is handed over behind the heir's.
 * Until then its owner gets nothing new of it, and its heir waits. So events of one key are never in two hands, and nothing
 * fails by a change.
 *
 * A consumption has one consumer epoch, from its first partition on. Its fencing token grows with every partition it gains, above
 * every token of the queue before: whoever had that partition had a lesser one. */
#include "broker/core/partition/partition.h"

#include "base/mutation.h"

/* What each has, and will have. */
static void count_shares(struct queue *q)
{
    struct partitions *p = q->partitions;
    for (struct consumer *k = q->consumers; k; k = k->queue_next)
        k->share = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        struct consumer *k = p->at[i].heir ? p->at[i].heir : p->at[i].owner;
        if (k)
            k->share++;
    }
}

/* Of the consumers that have a share, the one with the least, or with the most. */
static struct consumer *extreme(const struct queue *q, bool most)
{
    struct consumer *found = q->consumers, *k = q->consumers;
    for (uint32_t i = 0; k && i < q->partitions->count; i++, k = k->queue_next) {
        if (most ? k->share > found->share : k->share < found->share)
            found = k;
    }
    return found;
}

static bool is_drained(const struct partition *p)
{
    return p->in_flight == 0 && p->owner->session->link.acknowledged >= p->frame;
}

static void give(struct core *c, struct queue *q, struct partition *p, struct consumer *k)
{
    p->owner = k;
    p->heir = NULL;
    p->frame = 0;
    k->fence = ++q->consumer_epoch;
    if (k->epoch == 0) {
        k->epoch = k->fence;
        deliver_send_turn(c, k, TURN_ACTIVE);
    }
}

/* Of what a consumer has too much of: first what it was only promised, then what is over soonest. */
static struct partition *choose(struct partitions *p, const struct consumer *k)
{
    struct partition *chosen = NULL;
    for (uint32_t i = 0; i < p->count; i++) {
        struct partition *at = &p->at[i];
        if (at->heir == k)
            return at;
        if (at->owner == k && !at->heir && (!chosen || at->in_flight < chosen->in_flight))
            chosen = at;
    }
    return chosen;
}

static void promise(struct core *c, struct queue *q, struct partition *p, struct consumer *k)
{
    p->heir = p->owner == k ? NULL : k;
    q->partitions->moving |= p->heir != NULL;
    if (p->heir && (is_drained(p) || MUTATED(transfer_undrained)))
        give(c, q, p, k);
}

static void even_out(struct core *c, struct queue *q)
{
    for (;;) {
        struct consumer *most = extreme(q, true), *least = extreme(q, false);
        if (most->share <= least->share + 1)
            return;
        most->share--;
        least->share++;
        promise(c, q, choose(q->partitions, most), least);
    }
}

void share_out(struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    count_shares(q);
    for (uint32_t i = 0; i < p->count && q->consumers; i++) {
        struct consumer *k = p->at[i].heir ? p->at[i].heir : extreme(q, false);
        if (p->at[i].owner)
            continue;
        k->share += !p->at[i].heir;
        give(c, q, &p->at[i], k);
    }
    if (q->consumers && !MUTATED(uneven_shares))
        even_out(c, q);
    q->active = NULL;
    for (struct consumer *k = q->consumers; k && !q->active; k = k->queue_next)
        q->active = k->epoch ? k : NULL;
    core_run_queue(c, q);
}

void share_move(struct core *c, struct queue *q)
{
    struct partitions *p = q->partitions;
    if (!p->moving)
        return;
    p->moving = false;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->at[i].heir && is_drained(&p->at[i]))
            give(c, q, &p->at[i], p->at[i].heir);
        p->moving |= p->at[i].heir != NULL;
    }
}

void share_forget(struct queue *q, const struct consumer *k)
{
    struct partitions *p = q->partitions;
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->at[i].owner == k)
            p->at[i].owner = NULL;
        if (p->at[i].heir == k)
            p->at[i].heir = NULL;
    }
}
