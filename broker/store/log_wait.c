/* Who waits for a commit's sync. A thread does, so that the loop goes on meanwhile; but to tell the thread and to hear from it are two
 * hand-overs between threads, which cost as much as the sync of a small group on a good disk. So whoever commits waits itself where its
 * owner says that nobody else needs it meanwhile, the group is small, and the disk has been quick for a while: one that was not has
 * a row of syncs waited for by the thread before it is trusted again; so has one whose writes are slow, as where the file system is
 * mounted to sync each of them, and a sync has nothing left to do. Quick is what a disk in the same machine is: one behind a network
 * may stand still for a minute, and a loop that waits for it hears nobody. */
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
    bool small = l->config.sync == LOG_SYNC_GROUP && bytes <= SMALL_BYTES; /* else a sync is of many commits */
    return small && l->may_wait && l->quick_syncs >= QUICK_ROW;
}

void wait_note(struct log *l, const struct file_op *op)
{
    if (op->took_ns > QUICK_NS)
        l->quick_syncs = 0;
    else if (op->kind == FILE_SYNC && l->quick_syncs < QUICK_ROW)
        l->quick_syncs++;
}
