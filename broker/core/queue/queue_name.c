/* Finds queues by name: a hash, and an array sorted by name. */
#include "broker/core/topic/topic.h"

#include "base/xalloc.h"

struct queue *queue_find(struct core *c, struct span name)
{
    struct queue *q = NULL;
    HASH_FIND(hh, c->queues, name.data, (unsigned)name.size, q);
    return q;
}

uint32_t queue_place(const struct core *c, const char *name)
{
    uint32_t low = 0, high = c->queue_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(c->by_name[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void queue_list_name(struct core *c, struct queue *q)
{
    HASH_ADD_KEYPTR(hh, c->queues, q->name, (unsigned)strlen(q->name), q);
    if (c->queue_count == c->by_name_capacity) {
        c->by_name_capacity = c->by_name_capacity ? c->by_name_capacity * 2 : 16;
        c->by_name = xrealloc(c->by_name, c->by_name_capacity * sizeof(struct queue *));
    }
    uint32_t place = queue_place(c, q->name);
    memmove(c->by_name + place + 1, c->by_name + place, (c->queue_count - place) * sizeof(struct queue *));
    c->by_name[place] = q;
    c->queue_count++;
}

void queue_unlist_name(struct core *c, struct queue *q)
{
    uint32_t place = queue_place(c, q->name);
    memmove(c->by_name + place, c->by_name + place + 1, (c->queue_count - place - 1) * sizeof(struct queue *));
    c->queue_count--;
    HASH_DELETE(hh, c->queues, q);
}

void queue_rename(struct core *c, struct queue *q, struct span name)
{
    queue_unlist_name(c, q);
    memcpy(q->name, name.data, name.size);
    q->name[name.size] = '\0';
    queue_list_name(c, q);
    for (uint32_t i = 0; i < q->topic_count; i++)
        topic_sort(q->topics[i]);
}
