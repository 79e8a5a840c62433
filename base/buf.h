/* A growable byte buffer. Owns its memory; a zeroed struct is an empty buffer.
 * Out of memory ends the process (xalloc.h): a broker cannot keep its promises without it, and its
 * budgets exist so that it does not come to that. */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include "base/span.h"

struct buf {
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* bytes allocated from data on */
    size_t head;     /* bytes allocated before data, for frame_take (proto/link.h); set only while empty */
};

/* Frees the memory and leaves an empty buffer. */
void buf_free(struct buf *b);

/* buf_reserve's slow path. */
uint8_t *buf_grow(struct buf *b, size_t more);

/* Makes room for `more` bytes beyond size and returns where they go; size does not change. */
static inline uint8_t *buf_reserve(struct buf *b, size_t more)
{
    return b->data && more <= b->capacity - b->size ? b->data + b->size : buf_grow(b, more);
}

/* Frees the unused capacity. The bytes may move. */
void buf_shrink(struct buf *b);

/* Appends. `data` must not point into the buffer itself. */
void buf_add(struct buf *b, const void *data, size_t size);
void buf_add_byte(struct buf *b, uint8_t byte);
void buf_add_str(struct buf *b, const char *text);
/* printf into the buffer, without a terminator. */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void buf_clear(struct buf *b)
{
    b->size = 0;
}

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->data, b->size);
}

#endif
