/* A min-heap of sequences. Pushing an ascending sequence, which is the usual case, takes constant time. Private to
 * broker/core. */
#ifndef SLUICE_BROKER_CORE_HEAP_H
#define SLUICE_BROKER_CORE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* at[0] is the lowest while count > 0. Zeroed: empty. */
struct heap {
    uint64_t *at;
    uint32_t count, capacity;
};

void heap_push(struct heap *h, uint64_t sequence);
bool heap_has(const struct heap *h, uint64_t sequence); /* O(n), for tests */
void heap_pop(struct heap *h);                          /* removes the lowest; the heap is not empty */
/* Shrinks the array if most of it is unused. */
void heap_fit(struct heap *h);
void heap_free(struct heap *h);

#endif
