/* Remembered acks, so that a repeated ack gets the same answer. They are kept as runs of delivery numbers under a
 * consumer epoch; an epoch is never used again, so it identifies one activation of a consumer for good. Consumers ack
 * roughly in order, though the acks of several workers interleave: an ack adjacent to one of the newest LOOK_BACK runs
 * extends it, so that in the end a single run covers them all. */
#include "broker/core/state.h"

#include "base/xalloc.h"

#define LOOK_BACK 8u

static struct acked *newest(const struct queue *q, uint32_t back)
{
    return &q->acked[(q->acked_next - back) % ACKED_RUNS];
}

/* Extends `run` by `more` if they are adjacent and of the same epoch; else returns false. */
static bool join(struct acked *run, const struct acked *more)
{
    if (run->consumer_epoch != more->consumer_epoch)
        return false;
    if (more->first + more->count == run->first)
        run->first = more->first;
    else if (run->first + run->count != more->first)
        return false;
    run->count += more->count;
    return true;
}

/* The run that just grew may now be adjacent to another one: merges them and drops the newer of the two. */
static void join_neighbours(struct queue *q, uint32_t grown)
{
    for (uint32_t i = 1; i <= LOOK_BACK; i++) {
        uint32_t older = i > grown ? i : grown, newer = i > grown ? grown : i;
        if (i == grown || !join(newest(q, older), newest(q, newer)))
            continue;
        *newest(q, newer) = (struct acked){ 0 };
        while (newest(q, 1)->consumer_epoch == 0)
            q->acked_next--;
        return;
    }
}

void acked_remember(struct queue *q, uint64_t epoch, uint64_t first, uint64_t count)
{
    struct acked more = { epoch, first, count };
    if (!q->acked)
        q->acked = xcalloc(ACKED_RUNS, sizeof *q->acked);
    for (uint32_t i = 1; i <= LOOK_BACK; i++) {
        if (join(newest(q, i), &more)) {
            join_neighbours(q, i);
            return;
        }
    }
    *newest(q, 0) = more;
    q->acked_next++;
}

bool acked_before(const struct queue *q, uint64_t epoch, uint64_t delivery, uint64_t *end)
{
    *end = UINT64_MAX;
    for (uint32_t i = 0; q->acked && i < ACKED_RUNS; i++) {
        const struct acked *run = &q->acked[i];
        if (run->consumer_epoch != epoch || run->first + run->count <= delivery)
            continue;
        if (run->first <= delivery) {
            *end = run->first + run->count;
            return true;
        }
        if (run->first < *end)
            *end = run->first;
    }
    return false;
}
