/* Events in process memory, in blocks. Each queue fills its blocks in order. An event is stored in its lane form
 * (BATCH_EVENT_TAG, size, bytes), so that neighbours go onto a lane by one copy. A block is freed with its last
 * event. An event fanned out to several queues is stored once, in a block of the topic it was published to; the block
 * counts one live reference per queue.
 *
 * A locator is the block's index and the event's offset in the block, so that no pointer leaks through the seam.
 * Blocks grow with the queue, from 1 KiB to 64 KiB: ten thousand quiet queues cost ten thousand small blocks, and a
 * busy queue allocates once per few hundred events. An event of more than 16 KiB that does not fit into the open
 * block gets a block of its own. */
#include "broker/store/store.h"

#include "base/xalloc.h"
#include "proto/frame.h"
#include "proto/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <uthash.h>

#define LEAST_BLOCK      1024u
#define MOST_BLOCK       (64u * 1024u)
#define EVENT_HEADER_MAX 11u /* tag and size varint */
#define SPARE_BLOCKS     64u
#define NO_BLOCK         UINT32_MAX

struct block {
    uint32_t size;  /* bytes of data */
    uint32_t fill;  /* bytes used */
    uint32_t live;  /* events that are not settled or released, once for each queue */
    uint32_t queue; /* the queue or topic that fills it */
    bool shared;    /* its events belong to other queues (a topic's) */
    uint8_t data[];
};

struct writer { /* where a queue's (or topic's) next event goes */
    uint32_t queue;
    uint32_t open; /* block being filled, or NO_BLOCK */
    uint32_t next_size;
    UT_hash_handle hh;
};

struct memory_store {
    struct store base;
    struct block **blocks; /* by index; NULL when the index is free */
    uint32_t block_count, block_capacity;
    uint32_t *free_indices;
    uint32_t free_count, free_capacity;
    struct block *spare[SPARE_BLOCKS]; /* freed blocks of MOST_BLOCK bytes, for use again */
    uint32_t spare_count;
    struct writer *writers;
    struct writer *last; /* the writer used last: consecutive appends are mostly to one queue */
    uint64_t bytes, moves;
};

static struct memory_store *self(struct store *s)
{
    return (struct memory_store *)(void *)s;
}

static uint32_t take_index(struct memory_store *m)
{
    if (m->free_count)
        return m->free_indices[--m->free_count];
    if (m->block_count == m->block_capacity) {
        m->block_capacity = m->block_capacity ? m->block_capacity * 2 : 64;
        m->blocks = xrealloc(m->blocks, m->block_capacity * sizeof *m->blocks);
    }
    return m->block_count++;
}

static void give_index(struct memory_store *m, uint32_t index)
{
    if (m->free_count == m->free_capacity) {
        m->free_capacity = m->free_capacity ? m->free_capacity * 2 : 64;
        m->free_indices = xrealloc(m->free_indices, m->free_capacity * sizeof *m->free_indices);
    }
    m->blocks[index] = NULL;
    m->free_indices[m->free_count++] = index;
}

static uint32_t new_block(struct memory_store *m, uint32_t queue, uint32_t size)
{
    struct block *b;
    if (size == MOST_BLOCK && m->spare_count)
        b = m->spare[--m->spare_count];
    else
        b = xmalloc(sizeof *b + size);
    *b = (struct block){ .size = size, .queue = queue };
    uint32_t index = take_index(m);
    m->blocks[index] = b;
    m->bytes += sizeof *b + size;
    return index;
}

static void free_block(struct memory_store *m, uint32_t index)
{
    struct block *b = m->blocks[index];
    m->bytes -= sizeof *b + b->size;
    give_index(m, index);
    if (b->size == MOST_BLOCK && m->spare_count < SPARE_BLOCKS)
        m->spare[m->spare_count++] = b;
    else
        free(b);
}

/* NULL: the queue never got an event, or was forgotten. */
static struct writer *find_writer(const struct memory_store *m, uint32_t queue)
{
    if (m->last && m->last->queue == queue)
        return m->last;
    struct writer *w = NULL;
    HASH_FIND(hh, m->writers, &queue, sizeof queue, w);
    return w;
}

static struct writer *writer_of(struct memory_store *m, uint32_t queue)
{
    struct writer *w = find_writer(m, queue);
    if (!w) {
        w = xcalloc(1, sizeof *w);
        w->queue = queue;
        w->open = NO_BLOCK;
        w->next_size = LEAST_BLOCK;
        HASH_ADD(hh, m->writers, queue, sizeof w->queue, w);
    }
    m->last = w;
    return w;
}

/* Stops filling the writer's block. The block is freed with its last event: now, if it has none. */
static void shut_block(struct memory_store *m, struct writer *w)
{
    if (w->open != NO_BLOCK && m->blocks[w->open]->live == 0)
        free_block(m, w->open);
    w->open = NO_BLOCK;
}

/* Finds or makes a block with room for `need` bytes. */
static uint32_t block_with_room(struct memory_store *m, struct writer *w, uint32_t need)
{
    if (w->open != NO_BLOCK && m->blocks[w->open]->size - m->blocks[w->open]->fill >= need)
        return w->open;
    if (need > MOST_BLOCK / 4)
        return new_block(m, w->queue, need); /* a block of its own: in the open one it would waste what is left there */
    shut_block(m, w);
    while (w->next_size < need)
        w->next_size *= 2;
    w->open = new_block(m, w->queue, w->next_size);
    if (w->next_size < MOST_BLOCK)
        w->next_size *= 2;
    return w->open;
}

static store_locator locator_of(uint32_t block, uint32_t offset)
{
    return ((uint64_t)block + 1) << 32 | offset;
}

/* `holders`: how many queues have the event. */
static void put_event(struct memory_store *m, struct writer *w, struct store_event *e, uint32_t holders, bool shared)
{
    uint32_t need = (uint32_t)e->event.size + EVENT_HEADER_MAX;
    uint32_t index = block_with_room(m, w, need);
    struct block *b = m->blocks[index];
    uint8_t *start = b->data + b->fill;
    *start = BATCH_EVENT_TAG;
    uint8_t *at = wire_put_varint(start + 1, e->event.size);
    if (e->event.size)
        memcpy(at, e->event.data, e->event.size);
    e->locator = locator_of(index, b->fill);
    b->fill += (uint32_t)(at - start) + (uint32_t)e->event.size;
    b->live += holders;
    b->shared = shared;
    m->moves++;
}

static enum store_status share_events(struct store *store, struct store_share *share, uint64_t *ticket)
{
    struct memory_store *m = self(store);
    uint32_t holders = 0;
    for (size_t i = 0; i < share->target_count; i++)
        holders += share->targets[i].keep;
    assert(holders);
    struct writer *w = writer_of(m, share->owner);
    for (size_t i = 0; i < share->count; i++)
        put_event(m, w, &share->events[i], holders, true);
    *ticket = 0;
    return STORE_OK;
}

static struct block *block_at(const struct memory_store *m, store_locator at, uint32_t queue)
{
    uint32_t index = (uint32_t)(at >> 32) - 1;
    assert(index < m->block_count && m->blocks[index] &&
           (m->blocks[index]->queue == queue || m->blocks[index]->shared));
    (void)queue;
    return m->blocks[index];
}

static void read_event(struct store *store, uint32_t queue, store_locator at, struct span *out)
{
    struct block *b = block_at(self(store), at, queue);
    const uint8_t *start = b->data + (uint32_t)at;
    struct wire_reader r = { .at = start + 1, .end = b->data + b->fill };
    uint64_t size = 0;
    bool whole = wire_varint(&r, &size);
    assert(whole && size <= (uint64_t)(r.end - r.at));
    (void)whole;
    *out = span_of(start, (size_t)(r.at - start) + (size_t)size);
}

static void release(struct store *store, uint32_t queue, store_locator at)
{
    struct memory_store *m = self(store);
    struct block *b = block_at(m, at, queue);
    assert(b->live > 0);
    m->moves++;
    if (--b->live > 0)
        return;
    uint32_t index = (uint32_t)(at >> 32) - 1;
    struct writer *w = find_writer(m, b->queue);
    if (!w || w->open != index) {
        free_block(m, index);
        return;
    }
    b->fill = 0; /* the open block ran empty: fill it again, unless it is a big one */
    if (b->size > LEAST_BLOCK * 4) {
        w->next_size = b->size / 2; /* so a queue that becomes quiet returns to small blocks */
        w->open = NO_BLOCK;
        free_block(m, index);
    }
}

static enum store_status append(struct store *store, struct store_run *run, uint64_t *ticket)
{
    struct memory_store *m = self(store);
    struct writer *w = writer_of(m, run->queue);
    for (size_t i = 0; i < run->count; i++)
        put_event(m, w, &run->events[i], 1, false);
    if (run->leaving)
        release(store, run->leaving->queue, run->leaving->at);
    *ticket = 0;
    return STORE_OK;
}

static void forget(struct store *store, uint32_t queue)
{
    struct memory_store *m = self(store);
    struct writer *w = find_writer(m, queue);
    if (!w)
        return;
    shut_block(m, w);
    if (m->last == w)
        m->last = NULL;
    HASH_DEL(m->writers, w);
    free(w);
}

static void settle(struct store *store, uint32_t queue, uint64_t sequence, store_locator at, uint32_t size,
                   enum store_cause cause)
{
    (void)sequence;
    (void)size;
    (void)cause;
    release(store, queue, at);
}

static uint64_t memory(const struct store *store)
{
    return ((const struct memory_store *)(const void *)store)->bytes;
}

uint64_t store_memory_moves(const struct store *store)
{
    return ((const struct memory_store *)(const void *)store)->moves;
}

static void close_store(struct store *store)
{
    struct memory_store *m = self(store);
    struct writer *w, *next;
    HASH_ITER (hh, m->writers, w, next) {
        HASH_DEL(m->writers, w);
        free(w);
    }
    for (uint32_t i = 0; i < m->block_count; i++)
        free(m->blocks[i]);
    for (uint32_t i = 0; i < m->spare_count; i++)
        free(m->spare[i]);
    free(m->blocks);
    free(m->free_indices);
    free(m);
}

struct store *store_memory_open(void)
{
    static const struct store_ops ops = {
        .append = append,
        .share = share_events,
        .read = read_event,
        .settle = settle,
        .release = release,
        .forget = forget,
        .memory = memory,
        .close = close_store,
    };
    struct memory_store *m = xcalloc(1, sizeof *m);
    m->base.ops = &ops;
    return &m->base;
}
