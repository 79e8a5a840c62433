/* A capped bump allocator: what one request decodes lives and dies together.
 * The cap is what bounds a hostile message's amplification (a protobuf of 1 MiB of empty map entries
 * unpacks to 58 MB without one). */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out */
    size_t cap;                 /* bytes that may be handed out */
};

/* An empty arena that hands out at most `cap` bytes; allocates nothing yet. */
void arena_init(struct arena *a, size_t cap);
/* Frees everything that was handed out; the arena is empty and usable again. */
void arena_free(struct arena *a);
/* Takes everything back for the next use, under a new cap, and keeps a block so that the next use allocates nothing. */
void arena_reset(struct arena *a, size_t cap);
/* Zeroed memory aligned for any type, or NULL when the cap would be passed. */
void *arena_alloc(struct arena *a, size_t size);
/* A NUL-terminated copy, or NULL when the cap would be passed. */
char *arena_strndup(struct arena *a, const char *text, size_t size);

#endif
