/* Rings of records, and the destinations they belong to. */
#include "clients/core/client_records.h"

#include "base/xalloc.h"

#include <stdlib.h>

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

void records_move_out(const struct records *sent, struct block *b)
{
    struct block *to = xcalloc(1, sizeof *to);
    uint32_t left = b->holders;
    for (uint32_t i = 0; left && i < sent->count; i++) {
        struct record *r = record_at(sent, i);
        if (r->block != b)
            continue;
        struct span content = record_content(r);
        r->at = (uint32_t)to->bytes.size;
        buf_add(&to->bytes, content.data, content.size);
        r->block = to;
        to->holders++;
        left--;
        block_drop(b);
    }
    buf_shrink(&to->bytes);
}

void record_drop_decided(struct records *unsent)
{
    while (unsent->count && record_at(unsent, 0)->state == RECORD_DECIDED)
        record_pop(unsent);
}

static void rest(struct records *r)
{
    if (r->count == 0) {
        free(r->ring);
        *r = (struct records){ 0 };
    }
}

/* Frees the empty rings of the destination used before: there may be tens of thousands of destinations. */
static void turn_to(struct client *c, struct outlet *o)
{
    if (c->last_outlet) {
        rest(&c->last_outlet->sent);
        rest(&c->last_outlet->unsent);
    }
    c->last_outlet = o;
}

struct outlet *outlet_of(struct client *c, struct span name)
{
    struct outlet *o = c->last_outlet;
    if (o && span_equal(span_of(o->name, o->name_size), name))
        return o;
    HASH_FIND(hh, c->outlets, name.data, (unsigned)name.size, o);
    if (!o && name.size > NAME_MAX_SIZE)
        return NULL;
    if (!o) {
        o = xcalloc(1, sizeof *o);
        memcpy(o->name, name.data, name.size);
        o->name_size = name.size;
        o->base = 1;
        o->act = o->seen_due = MONO_NEVER;
        HASH_ADD_KEYPTR(hh, c->outlets, o->name, (unsigned)name.size, o);
    }
    turn_to(c, o);
    return o;
}

void outlet_free(struct client *c, struct outlet *o)
{
    HASH_DEL(c->outlets, o);
    for (uint32_t i = 0; i < o->sent.count; i++)
        record_release(record_at(&o->sent, i));
    for (uint32_t i = 0; i < o->unsent.count; i++)
        record_release(record_at(&o->unsent, i));
    if (c->last_outlet == o)
        c->last_outlet = NULL;
    if (c->open_block && c->open_block->outlet == o)
        block_spoil(c->open_block);
    free(o->sent.ring);
    free(o->unsent.ring);
    free(o);
}
