/* The store's call for events that several queues take: one record in the open group, however many the queues are.
 * From then on each queue settles and moves its part on its own (log_segments.c), and the segment stays until the
 * last of them has settled everything in it. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* Clears `keep` of queues whose cache is full. True: some queue keeps the events in memory. */
static bool share_is_kept(struct log *l, struct store_share *share, struct store_target *targets, uint64_t bytes)
{
    bool kept = false;
    for (size_t i = 0; i < share->target_count; i++) {
        struct log_queue *q = log_queue_of(l, targets[i].queue, false);
        targets[i].keep &= q->cached_bytes + bytes <= l->config.cache_bytes;
        q->cached_bytes += targets[i].keep ? bytes : 0;
        kept |= targets[i].keep;
    }
    return kept;
}

/* The most that one more queue costs, in the record and in the table. */
#define TARGET_BYTES 32u

/* Appends the events once, for all queues. */
static void put_share(struct log *l, struct group *g, const struct store_share *share, uint64_t bytes)
{
    struct run_target *targets = xcalloc(share->target_count, sizeof *targets);
    struct shared_record s = { .target_count = (uint32_t)share->target_count,
                               .count = share->count,
                               .accepted_ms = share->accepted_ms,
                               .note = share->note,
                               .other_note = share->other_note };
    struct buf encoded = { 0 };
    size_t start = g->records.size;
    for (size_t i = 0; i < share->target_count; i++) {
        struct log_queue *q = log_queue_of(l, share->targets[i].queue, true);
        targets[i] = (struct run_target){ q->id, share->targets[i].first };
        s.noted += share->targets[i].queue < share->targets[0].queue;
        q->live += share->count;
        q->live_bytes += bytes;
    }
    targets_write(&encoded, targets, share->target_count);
    s.targets = buf_span(&encoded);
    shared_write(&g->records, &s, share->events);
    struct table_entry e = { .count = (uint32_t)share->count,
                             .offset = (uint32_t)start,
                             .size = (uint32_t)(g->records.size - start) };
    group_add_shared(g, (struct group_run){ .entry = e, .bytes = bytes }, s.target_count, s.targets);
    l->info.event_bytes += bytes;
    buf_free(&encoded);
    free(targets);
}

/* A single target gets a plain run, with the first target's note. */
enum store_status log_share(struct store *store, struct store_share *share, uint64_t *ticket)
{
    struct log *l = log_self(store);
    const struct store_target *first = share->targets;
    struct store_run run = { .queue = first->queue,
                             .first = first->first,
                             .events = share->events,
                             .count = share->count,
                             .accepted_ms = share->accepted_ms,
                             .note = share->note };
    uint64_t bytes = log_bytes_of(share->events, share->count);
    if (l->failed)
        return STORE_FAILED;
    if (group_room(l) < bytes + share->count * 6 + share->target_count * TARGET_BYTES)
        return STORE_FULL;
    struct group *g = group_open(l);
    if (share->target_count == 1)
        log_put_run(l, g, &run, bytes);
    else
        put_share(l, g, share, bytes);
    if (share_is_kept(l, share, share->targets, bytes))
        l->cache->ops->share(l->cache, share, ticket);
    return log_accepted(g, ticket);
}
