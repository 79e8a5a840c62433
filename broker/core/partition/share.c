/* Which consumer has which partitions. The consumers that came first, as many as there are partitions, share them
 * evenly; the others stand by.
 *
 * A partition that is to change hands is drained first: nothing new is delivered from it, and its heir gets it when
 * nothing of it is in flight and the owner's session has acknowledged the frames with its deliveries. (Without the
 * latter a delivery whose lease ran out on the way would reach the owner after the heir's.) So the events of one key
 * are never at two consumers at a time, and a change makes no delivery fail.
 *
 * A consumption keeps the consumer epoch that it got with its first partition. Its fencing token grows with every
 * partition it gains, above every token that the queue gave out before, and so above that of the partition's former
 * owner. */
#include "broker/core/partition/partition.h"

#include "base/mutation.h"

/* Counts the partitions that each consumer has or will get. */
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

/* Among the first consumers, as many as there are partitions: the one with the smallest or the largest share. */
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

/* The partition to take from a consumer: one that it is only heir of, or else the one with the least in flight. */
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
