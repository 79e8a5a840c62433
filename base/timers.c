#include "base/timers.h"

#include "base/xalloc.h"

#include <stdlib.h>

static bool earlier(const struct timer *a, const struct timer *b)
{
    return a->due.ns != b->due.ns ? a->due.ns < b->due.ns : a->order < b->order;
}

static void place(struct timers *t, struct timer *timer, size_t index)
{
    t->heap[index] = timer;
    timer->slot = index + 1;
}

static void sift_up(struct timers *t, struct timer *timer, size_t index)
{
    while (index > 0 && earlier(timer, t->heap[(index - 1) / 2])) {
        place(t, t->heap[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    place(t, timer, index);
}

static void sift_down(struct timers *t, struct timer *timer, size_t index)
{
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= t->count)
            break;
        if (child + 1 < t->count && earlier(t->heap[child + 1], t->heap[child]))
            child++;
        if (!earlier(t->heap[child], timer))
            break;
        place(t, t->heap[child], index);
        index = child;
    }
    place(t, timer, index);
}

static void settle(struct timers *t, struct timer *timer, size_t index)
{
    if (index > 0 && earlier(timer, t->heap[(index - 1) / 2]))
        sift_up(t, timer, index);
    else
        sift_down(t, timer, index);
}

void timers_free(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){ 0 };
}

void timers_set(struct timers *t, struct timer *timer, mono_t due)
{
    if (due.ns == INT64_MAX) {
        timers_clear(t, timer);
        return;
    }
    timer->due = due;
    timer->order = t->next_order++;
    if (timer_is_set(timer)) {
        settle(t, timer, timer->slot - 1);
        return;
    }
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 16;
        t->heap = xrealloc(t->heap, t->capacity * sizeof(struct timer *));
    }
    sift_up(t, timer, t->count++);
}

void timers_clear(struct timers *t, struct timer *timer)
{
    if (!timer_is_set(timer))
        return;
    size_t index = timer->slot - 1;
    struct timer *last = t->heap[--t->count];
    timer->slot = 0;
    if (last != timer)
        settle(t, last, index);
}

mono_t timers_next(const struct timers *t)
{
    return t->count ? t->heap[0]->due : MONO_NEVER;
}

struct timer *timers_pop(struct timers *t, mono_t now)
{
    if (t->count == 0 || t->heap[0]->due.ns > now.ns)
        return NULL;
    struct timer *first = t->heap[0];
    timers_clear(t, first);
    return first;
}

bool timers_validate(const struct timers *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->heap[i]->slot != i + 1 || (i > 0 && earlier(t->heap[i], t->heap[(i - 1) / 2])))
            return false;
    }
    return true;
}
