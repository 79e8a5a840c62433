/* Counted references to the targets of outcomes. */
#include "broker/core/topic/targets.h"

#include "base/xalloc.h"
#include "proto/frame.h"

#include <stdlib.h>

struct targets *targets_new(const struct target *items, size_t count)
{
    size_t names = 0;
    for (size_t i = 0; i < count; i++)
        names += strlen(items[i].queue) + 1;
    struct targets *t = xmalloc(sizeof *t + count * sizeof *t->items + names);
    char *at = (char *)&t->items[count];
    t->refs = 1;
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(items[i].queue) + 1;
        memcpy(at, items[i].queue, size);
        t->items[i] = (struct target){ at, items[i].sequence };
        at += size;
    }
    return t;
}

void targets_drop(struct targets *t)
{
    if (t && --t->refs == 0)
        free(t);
}

static bool same_but_for(const struct targets *t, const struct target *items, size_t count, uint64_t *offset)
{
    if (!t || t->count != count || count == 0 || items[0].sequence < t->items[0].sequence)
        return false;
    uint64_t step = items[0].sequence - t->items[0].sequence;
    for (size_t i = 0; i < count; i++) {
        if (items[i].sequence != t->items[i].sequence + step || strcmp(items[i].queue, t->items[i].queue) != 0)
            return false;
    }
    *offset = step;
    return true;
}

void targets_share(struct targets **newest, const struct target *items, size_t count, struct outcome *o)
{
    o->flags |= RUN_TOPIC;
    o->sequence = 0;
    if (count == 0)
        return;
    if (!same_but_for(*newest, items, count, &o->sequence)) {
        targets_drop(*newest);
        *newest = targets_new(items, count);
    }
    o->targets = (*newest)->items;
    o->target_count = count;
}

static struct targets *of(const struct outcome *o)
{
    const char *items = (const char *)o->targets;
    return o->targets ? (struct targets *)(void *)(uintptr_t)(items - offsetof(struct targets, items)) : NULL;
}

void outcome_hold(const struct outcome *o)
{
    if (o->targets)
        of(o)->refs++;
}

void outcome_drop(struct outcome *o)
{
    targets_drop(of(o));
    o->targets = NULL;
    o->target_count = 0;
}
