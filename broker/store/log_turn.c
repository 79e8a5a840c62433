/* The loop's turn: takes what the disk completed, starts what can be started, and keeps completions for the core's
 * next poll. */
#include "broker/store/log_parts.h"

#include <stdlib.h>

static void take_done(struct log *l)
{
    struct file_op *op;
    while ((op = l->files->ops->done(l->files)) != NULL) {
        switch (op->tag) {
        case TAG_COMMIT: group_done(l, op); break;
        case TAG_SPARE: segment_spare_done(l, op); break;
        case TAG_LOAD: load_done(l, op); break;
        case TAG_CHECKPOINT: checkpoint_done(l, op); break;
        case TAG_SYNC:
            if (op->error)
                log_fail(l, "cannot sync", op->name, NO_OFFSET, strerror(op->error));
            else if (op->size > l->synced)
                l->synced = op->size;
            break;
        case TAG_REMOVE: segment_remove_done(l, op); break;
        case TAG_COMPACT: compact_read(l, op); break;
        }
        buf_free(&op->data);
        free(op);
    }
}

void log_flush(struct store *store, mono_t now)
{
    struct log *l = log_self(store);
    l->now = now;
    take_done(l);
    group_commit(l);
    checkpoint_idle(l);
    segment_remove_again(l);
    segment_want_spares(l);
    load_advance(l);
    compact_consider(l);
    take_done(l); /* operations that `submit` waited for */
}

bool log_has_news(const struct store *store)
{
    const struct log *l = (const struct log *)(const void *)store;
    return l->failed ? l->reported != UINT64_MAX : l->durable != l->reported;
}

/* What flush found done is reported by the next poll. No descriptor will announce it again, so that poll is due at
 * once. */
mono_t log_due(const struct store *store)
{
    const struct log *l = (const struct log *)(const void *)store;
    mono_t at = MONO_NEVER;
    if (log_has_news(store) || l->ready_loads)
        return l->now;
    if (l->failed)
        return at;
    if (compact_goes_on(l) || l->measuring_active)
        return l->now;
    if (!l->committing && !l->carry_through && l->lazy_since.ns != INT64_MAX)
        at = mono_min(at, mono_add_ms(l->lazy_since, l->config.lazy_ms));
    at = mono_min(mono_min(at, segment_due(l)), mono_min(checkpoint_due(l), carry_due(l)));
    if (l->config.sync == LOG_SYNC_INTERVAL && l->sync_waits)
        at = mono_min(at, l->next_sync);
    return at;
}

static bool poll_durable(struct log *l, struct store_completion *out)
{
    if (!log_has_news(&l->base))
        return false;
    l->reported = l->failed ? UINT64_MAX : l->durable;
    *out = (struct store_completion){
        .kind = STORE_DURABLE,
        .status = l->failed ? STORE_FAILED : STORE_OK,
        .ticket = l->durable,
    };
    return true;
}

/* Removes the events that were settled since they were read. */
static void drop_settled(struct log *l, struct load *d)
{
    struct log_queue *q = log_queue_of(l, d->queue, false);
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        const struct store_loaded *e = &d->events[i];
        if (q && extent_is_live(q, e->sequence))
            d->events[kept++] = *e;
        else
            log_uncache(l, q, d->queue, e->locator, e->size);
    }
    d->count = kept;
}

static struct load *next_ready(struct log *l)
{
    struct load *d;
    while ((d = l->ready_loads) != NULL) {
        l->ready_loads = d->next;
        bool was_empty = d->count == 0;
        drop_settled(l, d);
        if (d->count || was_empty) {
            l->polled = d;
            return d;
        }
        load_again(l, d);
    }
    return NULL;
}

bool log_poll(struct store *store, struct store_completion *out)
{
    struct log *l = log_self(store);
    take_done(l);
    if (l->polled) {
        load_free(l->polled);
        l->polled = NULL;
    }
    if (poll_durable(l, out))
        return true;
    struct load *d = next_ready(l);
    if (!d)
        return false;
    *out = (struct store_completion){
        .kind = STORE_LOADED, .tag = d->tag, .queue = d->queue, .events = d->events, .count = d->count
    };
    return true;
}
