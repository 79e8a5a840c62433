/* Whether the loop waits for a commit's sync itself.
 *
 * Normally the disk thread does, and the loop goes on meanwhile. But telling the thread and hearing from it are two
 * hand-overs between threads, and these cost as much as the sync of a small group on a good disk. So the loop waits
 * itself if all of this holds:
 *
 *   - the owner says that nobody else needs the loop meanwhile (log_may_wait);
 *   - the commit is small (SMALL_BYTES);
 *   - the last QUICK_ROW syncs, and the writes between them, took QUICK_NS at most.
 *
 * A single slow write or sync starts the count again. Writes count because a file system may be mounted to sync each
 * of them, and leave nothing to the sync. QUICK_NS is what a disk in the same machine manages: one behind a network
 * may stand still for a minute, and a loop that waits for it serves nobody. */
#include "broker/store/log_parts.h"

#define SMALL_BYTES (UINT64_C(64) << 10)
#define QUICK_NS    UINT64_C(300000)
#define QUICK_ROW   64u

void log_may_wait(struct store *store, bool may)
{
    log_self(store)->may_wait = may;
}

bool wait_pays(const struct log *l, uint64_t bytes)
{
    bool small = l->config.sync == LOG_SYNC_GROUP && bytes <= SMALL_BYTES; /* else a sync covers many commits */
    return small && l->may_wait && l->quick_syncs >= QUICK_ROW;
}

void wait_note(struct log *l, const struct file_op *op)
{
    if (op->took_ns > QUICK_NS)
        l->quick_syncs = 0;
    else if (op->kind == FILE_SYNC && l->quick_syncs < QUICK_ROW)
        l->quick_syncs++;
}
