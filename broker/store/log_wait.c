/* Whether the loop waits for a commit's sync itself.
 *
 * Otherwise the disk thread does, and the loop goes on meanwhile. But telling the thread and hearing from it are two
 * hand-overs between threads, each of which may cost as much as the sync of a small group. So the loop waits itself if
 * all of this holds:
 *
 *   - the owner says that nobody else needs the loop meanwhile (log_may_wait);
 *   - the commit is small (SMALL_BYTES);
 *   - a sync, with the writes before it, takes QUICK_NS at most on average;
 *   - none of the last CALM_ROW took STALL_NS.
 *
 * Writes count because a file system may be mounted to sync each of them, and leave nothing to the sync. QUICK_NS is
 * what a disk in the same machine manages while other processes use the processors, too. One behind a network may stand
 * still for a minute, and a loop that waits for it serves nobody: after one stall the thread waits for a while. */
#include "broker/store/log_parts.h"

#define SMALL_BYTES (UINT64_C(64) << 10)
#define QUICK_NS    UINT64_C(1000000)
#define STALL_NS    UINT64_C(50000000)
#define CALM_ROW    64u
#define SMOOTHING   8 /* the average is over about so many syncs */

void log_may_wait(struct store *store, bool may)
{
    log_self(store)->may_wait = may;
}

bool wait_pays(const struct log *l, uint64_t bytes)
{
    bool small = l->config.sync == LOG_SYNC_GROUP && bytes <= SMALL_BYTES; /* else a sync covers many commits */
    return small && l->may_wait && l->calm_syncs >= CALM_ROW && l->usual_sync_ns <= QUICK_NS;
}

void wait_note(struct log *l, const struct file_op *op)
{
    l->sync_ns += op->took_ns;
    if (op->kind != FILE_SYNC)
        return;
    if (l->sync_ns >= STALL_NS)
        l->calm_syncs = 0;
    else if (l->calm_syncs < CALM_ROW)
        l->calm_syncs++;
    l->usual_sync_ns += l->sync_ns / SMOOTHING - l->usual_sync_ns / SMOOTHING;
    l->sync_ns = 0;
}
