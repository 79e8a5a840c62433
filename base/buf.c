#include "base/buf.h"

#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_free(struct buf *b)
{
    free(b->data ? b->data - b->head : NULL);
    *b = (struct buf){ 0 };
}

uint8_t *buf_grow(struct buf *b, size_t more)
{
    size_t need = b->size + more;
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 64;
        b->capacity = capacity > need ? capacity : need;
        b->data = (uint8_t *)xrealloc(b->data ? b->data - b->head : NULL, b->head + b->capacity) + b->head;
    }
    return b->data + b->size;
}

void buf_shrink(struct buf *b)
{
    if (!b->size || b->size == b->capacity)
        return;
    b->capacity = b->size;
    b->data = (uint8_t *)xrealloc(b->data - b->head, b->head + b->capacity) + b->head;
}

void buf_add(struct buf *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(buf_reserve(b, size), data, size);
    b->size += size;
}

void buf_add_byte(struct buf *b, uint8_t byte)
{
    *buf_reserve(b, 1) = byte;
    b->size++;
}

void buf_add_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size <= 0)
        return;
    char *to = (char *)buf_reserve(b, (size_t)size + 1);
    va_start(args, format);
    vsnprintf(to, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
}
