/* The ranges are in one array with room on both sides: removing from the front only moves `head`. At the end of the
 * array they are moved down if the first half of the array is free, else the array doubles; so as many removals from
 * the front have paid for each move. An insertion in the middle moves the shorter side. */
#include "broker/store/ranges.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_CAPACITY 8u
/* An empty set frees an array that is larger than this: the burst that needed it is over. */
#define KEPT_CAPACITY 1024u

void ranges_free(struct ranges *r)
{
    free(r->items);
    *r = (struct ranges){ 0 };
}

static struct range *at(const struct ranges *r, size_t index)
{
    return &r->items[r->head + index];
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Index of the first range that ends behind `sequence`, or count. Both ends of the set are tried first: they are
 * where nearly everything happens. */
static size_t find(const struct ranges *r, uint64_t sequence)
{
    if (r->count == 0 || at(r, r->count - 1)->end <= sequence)
        return r->count;
    if (at(r, 0)->end > sequence)
        return 0;
    size_t low = 1, high = r->count - 1; /* the answer is in [low, high] */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at(r, middle)->end > sequence)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Makes room for one more range at the end. */
static void make_room(struct ranges *r)
{
    if (r->head + r->count < r->capacity)
        return;
    if (r->head > 0 && r->head >= r->capacity / 2) {
        memmove(r->items, r->items + r->head, r->count * sizeof *r->items);
        r->head = 0;
        return;
    }
    r->capacity = r->capacity ? r->capacity * 2 : LEAST_CAPACITY;
    r->items = xrealloc(r->items, r->capacity * sizeof *r->items);
}

static void insert(struct ranges *r, size_t index, struct range one)
{
    if (r->head > 0 && index < r->count / 2) {
        r->head--;
        memmove(at(r, 0), at(r, 1), index * sizeof one);
    } else {
        make_room(r);
        memmove(at(r, index + 1), at(r, index), (r->count - index) * sizeof one);
    }
    r->count++;
    *at(r, index) = one;
}

static void erase(struct ranges *r, size_t from, size_t to)
{
    size_t gone = to - from;
    if (gone == 0)
        return;
    if (from < r->count - to) {
        memmove(at(r, gone), at(r, 0), from * sizeof *r->items);
        r->head += gone;
    } else {
        memmove(at(r, from), at(r, to), (r->count - to) * sizeof *r->items);
    }
    r->count -= gone;
    if (r->count > 0)
        return;
    r->head = 0;
    if (r->capacity > KEPT_CAPACITY)
        ranges_free(r);
}

uint64_t ranges_add(struct ranges *r, uint64_t first, uint64_t end)
{
    if (first >= end)
        return 0;
    size_t from = find(r, first);
    if (from > 0 && at(r, from - 1)->end == first)
        from--; /* adjacent: they become one */
    struct range whole = { first, end };
    uint64_t had = 0;
    size_t to = from;
    for (; to < r->count && at(r, to)->first <= end; to++) {
        const struct range *old = at(r, to);
        if (old->end > first && old->first < end)
            had += least(old->end, end) - most(old->first, first);
        whole.first = least(whole.first, old->first);
        whole.end = most(whole.end, old->end);
    }
    if (from == to) {
        insert(r, from, whole);
    } else {
        *at(r, from) = whole;
        erase(r, from + 1, to);
    }
    return end - first - had;
}

uint64_t ranges_remove(struct ranges *r, uint64_t first, uint64_t end)
{
    if (first >= end)
        return 0;
    size_t from = find(r, first);
    size_t to = from;
    uint64_t gone = 0;
    for (; to < r->count && at(r, to)->first < end; to++)
        gone += least(at(r, to)->end, end) - most(at(r, to)->first, first);
    if (from == to)
        return 0;
    struct range left = { at(r, from)->first, first }, right = { end, at(r, to - 1)->end };
    bool keep_left = left.first < left.end, keep_right = right.first < right.end;
    if (keep_left)
        *at(r, from++) = left;
    if (keep_right && from == to) {
        insert(r, from, right); /* one range was cut in two */
        return gone;
    }
    if (keep_right)
        *at(r, --to) = right;
    erase(r, from, to);
    return gone;
}

bool ranges_has(const struct ranges *r, uint64_t sequence)
{
    size_t index = find(r, sequence);
    return index < r->count && at(r, index)->first <= sequence;
}

uint64_t ranges_count_in(const struct ranges *r, uint64_t first, uint64_t end)
{
    uint64_t count = 0;
    for (size_t i = find(r, first); i < r->count && at(r, i)->first < end; i++)
        count += least(at(r, i)->end, end) - most(at(r, i)->first, first);
    return count;
}

bool ranges_next(const struct ranges *r, uint64_t from, uint64_t *first, uint64_t *end)
{
    size_t index = find(r, from);
    if (index == r->count)
        return false;
    *first = most(at(r, index)->first, from);
    *end = at(r, index)->end;
    return true;
}

uint64_t ranges_next_gap(const struct ranges *r, uint64_t from)
{
    size_t index = find(r, from);
    return index < r->count && at(r, index)->first <= from ? at(r, index)->end : from;
}

bool ranges_validate(const struct ranges *r)
{
    if (r->head > r->capacity || r->count > r->capacity - r->head)
        return false;
    for (size_t i = 0; i < r->count; i++) {
        if (at(r, i)->first >= at(r, i)->end)
            return false;
        if (i > 0 && at(r, i - 1)->end >= at(r, i)->first)
            return false;
    }
    return true;
}
