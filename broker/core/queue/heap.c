/* A binary heap of sequences. */
#include "broker/core/queue/heap.h"

#include "base/xalloc.h"

#include <stdlib.h>

void heap_push(struct heap *h, uint64_t sequence)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 16;
        h->at = xrealloc(h->at, h->capacity * sizeof *h->at);
    }
    uint32_t i = h->count++;
    while (i && h->at[(i - 1) / 2] > sequence) {
        h->at[i] = h->at[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->at[i] = sequence;
}

bool heap_has(const struct heap *h, uint64_t sequence)
{
    uint32_t i = 0;
    while (i < h->count && h->at[i] != sequence)
        i++;
    return i < h->count;
}

void heap_pop(struct heap *h)
{
    uint64_t last = h->at[--h->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= h->count)
            break;
        if (child + 1 < h->count && h->at[child + 1] < h->at[child])
            child++;
        if (h->at[child] >= last)
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    if (h->count)
        h->at[i] = last;
}

void heap_fit(struct heap *h)
{
    uint32_t capacity = h->capacity;
    while (capacity > 16 && capacity / 4 >= h->count)
        capacity /= 2;
    if (capacity == h->capacity)
        return;
    h->capacity = capacity;
    h->at = xrealloc(h->at, h->capacity * sizeof *h->at);
}

void heap_free(struct heap *h)
{
    free(h->at);
    *h = (struct heap){ 0 };
}
