/* The open block, and lent blocks that became frames. */
#include "clients/core/client_block.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>

/* Small events share blocks of this size. A block that can be lent grows to the size of a frame. */
#define BLOCK_SIZE (16u << 10)
/* From this size, or an eighth of a frame, copying costs more than a frame of its own. */
#define LEND_SIZE (4u << 10)
/* By then the decisions that follow each other closely have all arrived, so few entries are left to copy. */
#define THIN_AFTER_MS 1000

static uint32_t block_size(const struct client *c)
{
    return c->config.frame_bytes < BLOCK_SIZE ? c->config.frame_bytes : BLOCK_SIZE;
}

static bool is_worth_lending(const struct client *c, const struct block *b)
{
    return b->bytes.size >= LEND_SIZE || b->bytes.size >= c->config.frame_bytes / 8;
}

void block_drop(struct block *b)
{
    if (--b->holders)
        return;
    frame_drop(b->frame);
    buf_free(&b->bytes);
    free(b);
}

/* Shrinks a block that reused a larger one's memory, as it may be kept for long. */
static void fit(struct block *b)
{
    if (b->bytes.size < b->bytes.capacity / 4)
        buf_shrink(&b->bytes);
}

void block_close(struct client *c)
{
    struct block *b = c->open_block;
    c->open_block = NULL;
    if (!b)
        return;
    if (b->holders > 1)
        fit(b);
    block_drop(b);
}

static void begin(struct block *b, struct outlet *o)
{
    buf_clear(&b->bytes);
    b->entries = 0;
    b->outlet = o;
    b->publish = frame_begin_early_publish(&b->bytes, span_of(o->name, o->name_size));
}

static void open_block(struct client *c, struct outlet *o, size_t most)
{
    struct block *b = c->open_block = xcalloc(1, sizeof *b);
    b->bytes = c->spare;
    b->bytes.head = FRAME_HEAD;
    c->spare = (struct buf){ 0 };
    b->holders = 1;
    begin(b, o);
    buf_reserve(&b->bytes, most > block_size(c) ? most : block_size(c));
}

void block_spoil(struct block *b)
{
    b->outlet = NULL;
}

/* Must the open block be closed before this entry? Otherwise makes it ready. It may exceed the size of a frame by
 * one entry, as `out` may. */
static bool is_full(struct client *c, struct outlet *o, size_t most)
{
    struct block *b = c->open_block;
    if (b->holders == 1) {
        begin(b, o);                                          /* all its entries are decided */
        return b->bytes.capacity > 2 * c->config.frame_bytes; /* grown for one large event */
    }
    if (b->outlet && b->outlet != o) {
        if (is_worth_lending(c, b))
            return true;
        block_spoil(b);
    }
    if (!b->outlet || most > BLOCK_SIZE)
        return b->bytes.size + most > BLOCK_SIZE;
    return b->bytes.size >= c->config.frame_bytes;
}

struct block *block_for(struct client *c, struct outlet *o, size_t most)
{
    if (c->open_block && is_full(c, o, most))
        block_close(c);
    if (!c->open_block)
        open_block(c, o, most);
    buf_reserve(&c->open_block->bytes, most);
    return c->open_block;
}

void block_add(struct block *b, size_t offset, struct record *r)
{
    struct span content = frame_entry_content(&b->bytes, offset);
    r->block = b;
    r->at = (uint32_t)(content.data - b->bytes.data);
    r->content = (uint32_t)content.size;
    b->holders++;
    b->entries++;
}

struct span record_content(const struct record *r)
{
    const struct block *b = r->block;
    return span_of((b->frame ? b->frame->data + FRAME_HEADER_SIZE : b->bytes.data) + r->at, r->content);
}

bool block_may_lend(const struct client *c, const struct block *b)
{
    return b->outlet && is_worth_lending(c, b) && b->entries == b->holders - (b == c->open_block);
}

void block_lend(struct client *c, struct block *b, uint64_t first, uint32_t wait_ms)
{
    assert(!c->lent_block && !b->frame);
    frame_end_early_publish(&b->bytes, b->publish, first, wait_ms);
    c->lent_most = (uint32_t)(b->bytes.size < c->config.frame_bytes / 2 ? 2 * b->bytes.size : c->config.frame_bytes);
    buf_add(&b->bytes, c->out.data, c->out.size);
    fit(b);
    buf_free(&c->spare);
    c->spare = c->out;
    buf_clear(&c->spare);
    c->out = b->bytes;
    b->bytes = (struct buf){ 0 };
    block_spoil(b);
    c->lent_block = b;
    if (b == c->open_block) {
        c->open_block = NULL;
        b->holders--; /* now only its records hold it */
    }
}

bool block_is_thin(const struct client *c, const struct block *b)
{
    return b->frame && b->frame->size > block_size(c) && b->holders <= b->entries / 8 &&
           mono_since_ms(c->now.mono, b->frame->sealed) >= THIN_AFTER_MS;
}

struct frame *block_take_frame(struct client *c)
{
    struct frame *f = frame_take(&c->out);
    c->lent_block->frame = frame_hold(f);
    c->lent_block = NULL;
    return f;
}
