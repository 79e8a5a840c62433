/* The log as a store (store.h): opening, closing, and the short calls. The others are in log_share.c, log_settle.c
 * and log_turn.c. */
#include "broker/store/log_move.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void log_config_defaults(struct log_config *c)
{
    *c = (struct log_config){
        .segment_size = 32u << 20,
        .disk_budget = UINT64_MAX,
        .sync = LOG_SYNC_GROUP,
        .sync_interval_ms = 100,
        .lazy_ms = 5,
        .cache_bytes = 4u << 20,
    };
}

static struct file_op *new_op(enum file_kind kind, const char *name, uint64_t tag)
{
    struct file_op *op = xcalloc(1, sizeof *op);
    op->kind = kind;
    snprintf(op->name, sizeof op->name, "%s", name);
    op->tag = tag;
    return op;
}

void log_rename(struct log *l, const char *name, const char *to, uint64_t tag)
{
    struct file_op *op = new_op(FILE_RENAME, name, tag);
    snprintf(op->to, sizeof op->to, "%s", to);
    l->files->ops->submit(l->files, op);
}

void log_submit(struct log *l, enum file_kind kind, const char *name, uint64_t offset, uint64_t size, struct buf *data,
                uint64_t tag)
{
    struct file_op *op = new_op(kind, name, tag);
    op->offset = offset;
    op->size = size;
    op->more = kind == FILE_WRITE && l->config.sync == LOG_SYNC_GROUP; /* its sync follows */
    op->wait = kind == FILE_SYNC && tag == TAG_COMMIT && wait_pays(l, l->commit_bytes);
    l->info.syncs += kind == FILE_SYNC;
    if (data) {
        l->info.written_bytes += data->size;
        op->data = *data;
        *data = (struct buf){ 0 };
    }
    l->files->ops->submit(l->files, op);
}

void log_fail(struct log *l, const char *what, const char *name, uint64_t offset, const char *why)
{
    if (l->failed)
        return;
    l->failed = true;
    if (offset == NO_OFFSET)
        snprintf(l->failure, sizeof l->failure, "%s %s: %s", what, name, why);
    else
        snprintf(l->failure, sizeof l->failure, "%s %s at offset %llu: %s", what, name, (unsigned long long)offset,
                 why);
}

/* ------------------------------------------------------------------ queues */

struct log_queue *log_queue_of(struct log *l, uint32_t id, bool make)
{
    struct log_queue *q = l->last_queue;
    if (q && q->id == id)
        return q;
    HASH_FIND(hh, l->queues, &id, sizeof id, q);
    if (!q && make) {
        q = xcalloc(1, sizeof *q);
        q->id = id;
        q->placed_end = 1;
        HASH_ADD(hh, l->queues, id, sizeof q->id, q);
    }
    if (q)
        l->last_queue = q;
    return q;
}

void log_queue_drop(struct log *l, struct log_queue *q)
{
    extent_drop_all(l, q);
    l->last_queue = NULL;
    if (q->listed) {
        struct log_queue **at = &l->fresh;
        while (*at != q)
            at = &(*at)->fresh_next;
        *at = q->fresh_next;
    }
    free(q->extents);
    free(q->fresh.ranges);
    ranges_free(&q->settled);
    HASH_DEL(l->queues, q);
    free(q);
}

/* ------------------------------------------------------------------ in */

enum store_status log_accepted(struct group *g, uint64_t *ticket)
{
    g->urgent = true;
    *ticket = g->number;
    return STORE_LATER;
}

uint64_t log_bytes_of(const struct store_event *events, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += events[i].event.size;
    return bytes;
}

void log_put_run(struct log *l, struct group *g, const struct store_run *run, uint64_t bytes)
{
    struct log_queue *q = log_queue_of(l, run->queue, true);
    size_t start = g->records.size;
    run_write(&g->records, RECORD_EVENTS, run);
    struct table_entry e = { run->queue, (uint32_t)run->count, run->first, (uint32_t)start,
                             (uint32_t)(g->records.size - start) };
    group_add_run(g, &(struct group_run){ .entry = e, .bytes = bytes });
    q->live += run->count;
    q->live_bytes += bytes;
    l->info.event_bytes += bytes;
}

static enum store_status append(struct store *store, struct store_run *run, uint64_t *ticket)
{
    struct log *l = log_self(store);
    uint64_t bytes = log_bytes_of(run->events, run->count);
    if (l->failed)
        return STORE_FAILED;
    if (group_room(l) < bytes + run->count * 6)
        return STORE_FULL;
    struct group *g = group_open(l);
    log_put_run(l, g, run, bytes);
    if (run->leaving)
        log_settle_in_group(l, g, run->leaving);
    struct log_queue *q = log_queue_of(l, run->queue, false);
    if (run->keep && q->cached_bytes + bytes <= l->config.cache_bytes) {
        run->leaving = NULL; /* the cache must not release it again */
        l->cache->ops->append(l->cache, run, ticket);
        q->cached_bytes += bytes;
    } else {
        for (size_t i = 0; i < run->count; i++)
            run->events[i].locator = 0;
    }
    return log_accepted(g, ticket);
}

static enum store_status note(struct store *store, struct span bytes, uint64_t *ticket)
{
    struct log *l = log_self(store);
    if (l->failed)
        return STORE_FAILED;
    struct group *g = group_open_behind(l, bytes.size);
    size_t mark = record_begin(&g->records, RECORD_NOTE);
    buf_add(&g->records, bytes.data, bytes.size);
    record_end(&g->records, mark);
    return log_accepted(g, ticket);
}

static void load(struct store *store, uint32_t queue, uint64_t from, uint64_t bytes, uint64_t tag)
{
    load_start(log_self(store), queue, from, bytes, tag);
}

/* ------------------------------------------------------------------ out */

static void read_event(struct store *store, uint32_t queue, store_locator at, struct span *out)
{
    struct log *l = log_self(store);
    assert(at);
    l->cache->ops->read(l->cache, queue, at, out);
}

static uint64_t settled_ticket(struct store *store)
{
    struct log *l = log_self(store);
    if (l->fresh)
        group_gather_settled(l);
    if (l->open) {
        l->open->urgent = true;
        return l->open->number;
    }
    if (l->last_closed)
        return l->last_closed->number;
    return l->durable < l->placed ? l->placed : 0;
}

static uint32_t unsettled(const struct store *store, uint32_t queue)
{
    const struct log *l = (const struct log *)(const void *)store;
    struct log_queue *q = NULL;
    HASH_FIND(hh, l->queues, &queue, sizeof queue, q);
    return q ? q->unsettled : 0;
}

static uint64_t room(const struct store *store)
{
    const struct log *l = (const struct log *)(const void *)store;
    return l->failed ? 0 : room_for_events(l);
}

static uint64_t memory(const struct store *store)
{
    const struct log *l = (const struct log *)(const void *)store;
    return l->cache->ops->memory(l->cache);
}

/* ------------------------------------------------------------------ life */

struct log *log_new(const struct log_config *config, struct files *files)
{
    struct log *l = xcalloc(1, sizeof *l);
    l->config = *config;
    l->files = files;
    l->cache = store_memory_open();
    l->lazy_since = l->exhausted_since = MONO_NEVER;
    l->next_number = 1;
    return l;
}

static void free_groups(struct group *g)
{
    while (g) {
        struct group *next = g->next;
        group_free(g);
        g = next;
    }
}

static void free_loads(struct load *d)
{
    while (d) {
        struct load *next = d->next;
        load_free(d);
        d = next;
    }
}

void log_free(struct log *l)
{
    while (l->queues)
        log_queue_drop(l, l->queues);
    free_groups(l->open);
    free_groups(l->first_closed);
    free_groups(l->in_flight);
    free_loads(l->loads);
    free_loads(l->ready_loads);
    free_loads(l->polled);
    plan_free(l->plan);
    plan_stop_measuring_active(l);
    for (uint32_t i = 0; i < l->segment_count; i++)
        segment_free(l->segments[i]);
    free(l->segments);
    free(l->freeing);
    free(l->leftovers);
    l->cache->ops->close(l->cache);
    free(l);
}

static void close_log(struct store *store)
{
    log_free(log_self(store));
}

static bool at_rest(const struct log *l)
{
    return !l->committing && !l->checkpointing && !l->fresh && !l->open && !l->first_closed;
}

static bool stop(struct store *store)
{
    struct log *l = log_self(store);
    if (l->failed)
        return true;
    if (!l->stopping) {
        l->stopping = true;
        l->config.lazy_ms = 0;
        l->final_checkpoint = l->no_final_checkpoint = false;
    }
    if (!at_rest(l))
        return false;
    if (l->no_final_checkpoint || (l->final_checkpoint && l->since_checkpoint == 0))
        return true;
    checkpoint_start(l); /* for the second time, where something was logged during the first */
    l->final_checkpoint = true;
    return false;
}

static const struct store_ops ops = {
    .append = append,
    .share = log_share,
    .note = note,
    .read = read_event,
    .settle = log_settle,
    .settle_rest = log_settle_rest,
    .release = log_release,
    .load = load,
    .forget = log_forget,
    .flush = log_flush,
    .due = log_due,
    .poll = log_poll,
    .settled_ticket = settled_ticket,
    .unsettled = unsettled,
    .room = room,
    .memory = memory,
    .stop = stop,
    .close = close_log,
};

struct store *log_open(const struct log_config *config, struct files *files, const struct log_replay *replay,
                       struct error *e)
{
    struct log *l = log_new(config, files);
    l->base.ops = &ops;
    if (log_recover(l, replay, e))
        return &l->base;
    log_free(l);
    return NULL;
}

void log_set_owner(struct store *s, const struct log_owner *owner)
{
    log_self(s)->owner = *owner;
}

void log_each_live(struct store *s, uint32_t queue, void (*visit)(void *context, uint64_t first, uint64_t end),
                   void *context, uint64_t *bytes)
{
    struct log_queue *q = log_queue_of(log_self(s), queue, false);
    *bytes = q ? q->live_bytes : 0;
    for (uint32_t i = 0; q && i < q->extent_count; i++) {
        uint64_t at = q->extents[i].first, end = q->extents[i].end, first, last;
        while ((at = ranges_next_gap(&q->settled, at)) < end) {
            uint64_t to = ranges_next(&q->settled, at, &first, &last) && first < end ? first : end;
            visit(context, at, to);
            at = to;
        }
    }
}

const char *log_failure(const struct store *s)
{
    return ((const struct log *)(const void *)s)->failure;
}

bool log_is_full(const struct store *s)
{
    return ((const struct log *)(const void *)s)->no_room;
}

void log_info(const struct store *s, struct log_info *out)
{
    const struct log *l = (const struct log *)(const void *)s;
    *out = l->info;
    out->segments = l->segment_count;
    out->disk_bytes = log_disk_bytes(l);
    out->carries = l->carry_through != 0;
    out->disk_budget = l->config.disk_budget;
    out->live_bytes = 0;
    for (const struct log_queue *q = l->queues; q; q = q->hh.next)
        out->live_bytes += q->live_bytes;
}
