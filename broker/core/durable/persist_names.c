#include "broker/core/durable/persist_names.h"

#include "base/units.h"
#include "base/xalloc.h"
#include "broker/core/durable/persist_fields.h"
#include "proto/wire.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct named {
    uint32_t queue;
    char name[NAME_MAX_SIZE + 1];
    UT_hash_handle hh;
};

struct queue_names {
    struct named *all;
};

struct queue_names *queue_names_new(void)
{
    return xcalloc(1, sizeof(struct queue_names));
}

void queue_names_free(struct queue_names *n)
{
    struct named *at, *next;
    HASH_ITER (hh, n->all, at, next) {
        HASH_DEL(n->all, at);
        free(at);
    }
    free(n);
}

static struct named *find(const struct queue_names *n, uint32_t queue)
{
    struct named *at;
    HASH_FIND(hh, n->all, &queue, sizeof queue, at);
    return at;
}

static void take(struct queue_names *n, uint32_t queue, struct span name)
{
    if (find(n, queue) || !name_valid(name))
        return;
    struct named *new = xcalloc(1, sizeof *new);
    new->queue = queue;
    memcpy(new->name, name.data, name.size);
    HASH_ADD(hh, n->all, queue, sizeof new->queue, new);
}

static void read_queue(struct queue_names *n, struct span bytes)
{
    struct wire_reader r = wire_open(bytes);
    struct wire_field f = { 0 };
    struct span name = { 0 };
    uint64_t id = 0;
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == QUEUE_ID && f.type == WIRE_VARINT)
            id = f.number;
        else if (f.tag == QUEUE_NAME && f.type == WIRE_BYTES)
            name = f.bytes;
    }
    if (id <= UINT32_MAX)
        take(n, (uint32_t)id, name);
}

void queue_names_read(struct queue_names *n, struct span words)
{
    struct wire_reader r = wire_open(words);
    struct wire_field f = { 0 };
    while (!wire_done(&r) && wire_next(&r, &f)) {
        if (f.tag == NOTE_QUEUE && f.type == WIRE_BYTES)
            read_queue(n, f.bytes);
    }
}

const char *queue_names_of(const struct queue_names *n, uint32_t queue)
{
    const struct named *at = find(n, queue);
    return at ? at->name : "";
}
