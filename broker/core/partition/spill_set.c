#include "broker/core/partition/spill_set.h"

#include "base/xalloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void spill_set_free(struct spill_set *s)
{
    for (size_t i = s->head; i < s->count; i++)
        ranges_free(&s->parts[i]);
    free(s->parts);
    *s = (struct spill_set){ 0 };
}

/* Adds `more` empty parts, at the front or at the end. */
static void grow(struct spill_set *s, size_t more, bool front)
{
    size_t capacity = s->capacity ? s->capacity : 4;
    while (capacity < s->count + more)
        capacity *= 2;
    if (capacity != s->capacity)
        s->parts = xrealloc(s->parts, capacity * sizeof *s->parts);
    s->memory += (capacity - s->capacity) * sizeof *s->parts;
    s->capacity = capacity;
    size_t at = front ? 0 : s->count;
    if (front)
        memmove(s->parts + more, s->parts, s->count * sizeof *s->parts);
    memset(s->parts + at, 0, more * sizeof *s->parts);
    s->count += more;
}

static struct ranges *part_of(struct spill_set *s, uint64_t sequence)
{
    uint64_t part = sequence / SPILL_PART;
    if (s->count == 0)
        s->first_part = part;
    if (part < s->first_part) {
        grow(s, (size_t)(s->first_part - part), true);
        s->first_part = part;
        s->head = 0;
    } else if (part - s->first_part >= s->count) {
        grow(s, (size_t)(part - s->first_part) + 1 - s->count, false);
    }
    if (part - s->first_part < s->head)
        s->head = (size_t)(part - s->first_part);
    return &s->parts[part - s->first_part];
}

void spill_set_add(struct spill_set *s, uint64_t sequence)
{
    struct ranges *r = part_of(s, sequence);
    size_t before = r->capacity;
    s->events += ranges_add(r, sequence, sequence + 1);
    s->memory += (r->capacity - before) * sizeof *r->items;
}

/* Drops empty parts at both ends. */
static void trim(struct spill_set *s)
{
    while (s->count > s->head && s->parts[s->count - 1].count == 0)
        s->count--;
    while (s->head < s->count && s->parts[s->head].count == 0)
        s->head++;
    if (s->head == s->count) {
        s->memory = 0;
        spill_set_free(s);
    } else if (s->head > s->count / 2) {
        s->count -= s->head;
        memmove(s->parts, s->parts + s->head, s->count * sizeof *s->parts);
        s->first_part += s->head;
        s->head = 0;
    }
}

void spill_set_remove(struct spill_set *s, uint64_t sequence)
{
    struct ranges *r = part_of(s, sequence);
    size_t before = r->capacity;
    uint64_t gone = ranges_remove(r, sequence, sequence + 1);
    assert(gone == 1);
    s->events -= gone;
    if (r->count == 0)
        ranges_free(r);
    s->memory += r->capacity * sizeof *r->items;
    s->memory -= before * sizeof *r->items;
    if (r->count == 0)
        trim(s);
}

static const struct ranges *part_at(const struct spill_set *s, uint64_t part)
{
    return part >= s->first_part && part - s->first_part < s->count ? &s->parts[part - s->first_part] : NULL;
}

bool spill_set_has(const struct spill_set *s, uint64_t sequence)
{
    const struct ranges *r = part_at(s, sequence / SPILL_PART);
    return r && ranges_has(r, sequence);
}

bool spill_set_next(const struct spill_set *s, uint64_t from, uint64_t *first)
{
    uint64_t end, part = from / SPILL_PART;
    size_t i = part > s->first_part ? (size_t)(part - s->first_part) : 0;
    for (i = i < s->head ? s->head : i; i < s->count; i++) {
        if (ranges_next(&s->parts[i], from, first, &end))
            return true;
    }
    return false;
}

uint64_t spill_set_count_in(const struct spill_set *s, uint64_t first, uint64_t end)
{
    uint64_t count = 0;
    for (size_t i = s->head; i < s->count && (s->first_part + i) * SPILL_PART < end; i++)
        count += ranges_count_in(&s->parts[i], first, end);
    return count;
}

bool spill_set_validate(const struct spill_set *s)
{
    uint64_t events = 0, memory = s->capacity * sizeof *s->parts;
    for (size_t i = 0; i < s->count; i++) {
        const struct ranges *r = &s->parts[i];
        uint64_t from = (s->first_part + i) * SPILL_PART, all = ranges_count_in(r, 0, UINT64_MAX);
        if (!ranges_validate(r) || ranges_count_in(r, from, from + SPILL_PART) != all || (i < s->head && all))
            return false;
        events += all;
        memory += r->capacity * sizeof *r->items;
    }
    return events == s->events && memory == s->memory;
}
