/* A min-heap of sequences. What ascends, as nearly all does, is pushed in constant time. Private to broker/core. */
#ifndef SLUICE_BROKER_CORE_HEAP_H
#define SLUICE_BROKER_CORE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

/* The least is at[0] while count > 0. All zero: empty. */
struct heap {
    uint64_t *at;
    uint32_t count, capacity;
};

void heap_push(struct heap *h, uint64_t sequence);
bool heap_has(const struct heap *h, uint64_t sequence); /* looks at all of it: for tests */
void heap_pop(struct heap *h);                          /* the least; it is not empty */
/* Lets go of memory that it does not need any more. */
void heap_fit(struct heap *h);
void heap_free(struct heap *h);

#endif
