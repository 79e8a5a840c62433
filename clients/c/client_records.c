/* Rings of records, and the destinations they belong to. */
#include "clients/c/client_records.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* Small publishes share a block of this size, so that an event does not cost an allocation. */
#define BLOCK_SIZE (16u << 10)
#define CACHE_LINE 64u

static struct block *block_new(uint32_t holders, uint64_t bytes)
{
    struct block *b = xmalloc(sizeof *b + bytes);
    b->holders = holders;
    return b;
}

static void block_drop(struct block *b)
{
    if (--b->holders == 0)
        free(b);
}

void block_close(struct client *c)
{
    if (c->open_block)
        block_drop(c->open_block);
    c->open_block = NULL;
}

static void open_block(struct client *c, uint64_t bytes)
{
    if (c->open_block && c->open_block->holders == 1)
        c->open_used = 0; /* nobody's any more */
    else if (c->open_block && c->open_used + bytes > BLOCK_SIZE)
        block_close(c);
    if (!c->open_block) {
        c->open_block = block_new(1, BLOCK_SIZE); /* one share is the client's, while it is filled */
        c->open_used = 0;
    }
}

struct block *block_for(struct client *c, uint32_t count, uint64_t bytes, uint8_t **data)
{
    if (bytes > BLOCK_SIZE / 4) {
        struct block *own = block_new(count, bytes);
        *data = own->data;
        return own;
    }
    open_block(c, bytes);
    *data = c->open_block->data + c->open_used;
    c->open_used += bytes;
    c->open_block->holders += count;
    return c->open_block;
}

/* The next one's place is fetched while this one is written: of a window of hundreds little is in the cache, and a write that waits
 * for its memory holds up what comes after it. */
uint8_t *block_reserve(struct client *c, uint64_t bytes)
{
    if (bytes > BLOCK_SIZE / 4)
        return NULL;
    open_block(c, bytes);
    uint8_t *at = c->open_block->data + c->open_used;
    for (uint64_t i = bytes; i < 2 * bytes && c->open_used + i < BLOCK_SIZE; i += CACHE_LINE)
        __builtin_prefetch(at + i, 1);
    return at;
}

struct record *record_push(struct records *r)
{
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? r->capacity * 2 : 16;
        struct record *ring = xmalloc(capacity * sizeof *ring);
        for (uint32_t i = 0; i < r->count; i++)
            ring[i] = *record_at(r, i);
        free(r->ring);
        *r = (struct records){ ring, capacity, 0, r->count };
    }
    return record_at(r, r->count++);
}

void record_pop(struct records *r)
{
    r->head = (r->head + 1) & (r->capacity - 1);
    if (--r->count == 0 && r->capacity > 1024) { /* a burst is over */
        free(r->ring);
        *r = (struct records){ 0 };
    }
}

void record_release(struct record *r)
{
    if (r->block)
        block_drop(r->block);
    r->block = NULL;
}

void record_drop_decided(struct records *unsent)
{
    while (unsent->count && record_at(unsent, 0)->state == RECORD_DECIDED)
        record_pop(unsent);
}

struct outlet *outlet_of(struct client *c, struct span name)
{
    struct outlet *o = c->last_outlet;
    if (o && span_equal(span_of(o->name, o->name_size), name))
        return o;
    HASH_FIND(hh, c->outlets, name.data, (unsigned)name.size, o);
    if (o)
        c->last_outlet = o;
    if (o || name.size > NAME_MAX_SIZE)
        return o;
    o = xcalloc(1, sizeof *o);
    memcpy(o->name, name.data, name.size);
    o->name_size = name.size;
    o->base = 1;
    o->act = o->seen_due = MONO_NEVER;
    HASH_ADD_KEYPTR(hh, c->outlets, o->name, (unsigned)name.size, o);
    return o;
}
