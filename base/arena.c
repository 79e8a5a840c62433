#include "base/arena.h"

#include "base/xalloc.h"

#include <stddef.h>
#include <stdlib.h>

#define LEAST_BLOCK 1024u
#define MOST_BLOCK  (64u << 10)

struct arena_block {
    struct arena_block *next;
    size_t size, used;
    _Alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *a, size_t cap)
{
    *a = (struct arena){ .cap = cap };
}

void arena_free(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used = 0;
}

void arena_reset(struct arena *a, size_t cap)
{
    struct arena_block *kept = a->blocks;
    if (kept && kept->size <= MOST_BLOCK) {
        a->blocks = kept->next;
        arena_free(a);
        kept->next = NULL;
        kept->used = 0;
        a->blocks = kept;
    } else {
        arena_free(a);
    }
    a->used = 0;
    a->cap = cap;
}

static struct arena_block *block_with_room(struct arena *a, size_t size)
{
    struct arena_block *b = a->blocks;
    if (b && b->size - b->used >= size)
        return b;
    size_t room = b ? b->size * 2 : LEAST_BLOCK;
    room = room < MOST_BLOCK ? room : MOST_BLOCK;
    room = room > size ? room : size;
    b = xmalloc(sizeof *b + room);
    b->size = room;
    b->used = 0;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    if (size > a->cap)
        return NULL;
    size = size ? (size + align - 1) & ~(align - 1) : align;
    if (a->used + size > a->cap)
        return NULL;
    struct arena_block *b = block_with_room(a, size);
    void *p = b->data + b->used;
    b->used += size;
    a->used += size;
    return memset(p, 0, size);
}

char *arena_strndup(struct arena *a, const char *text, size_t size)
{
    char *copy = arena_alloc(a, size + 1);
    if (copy && size)
        memcpy(copy, text, size);
    return copy;
}
