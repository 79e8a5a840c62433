/* Reads segments one by one, damaged or not. */
#include "broker/store/log_walk.h"

#include "base/xalloc.h"

#include <stdlib.h>

struct ids {
    uint64_t *items;
    size_t count, capacity;
};

static void add_id(void *context, const char *name, uint64_t size)
{
    struct ids *l = context;
    uint64_t id;
    (void)size;
    if (!segment_id_of(name, &id))
        return;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 16;
        l->items = xrealloc(l->items, l->capacity * sizeof *l->items);
    }
    l->items[l->count++] = id;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t *walk_list(struct files *files, size_t *count, int *why)
{
    struct ids l = { 0 };
    *why = files->ops->list(files, add_id, &l);
    if (l.count)
        qsort(l.items, l.count, sizeof *l.items, by_number);
    *count = l.count;
    return l.items;
}

int walk_read(struct files *files, const char *name, struct buf *out)
{
    buf_clear(out);
    for (size_t got, step = 256u << 10;; step = 4u << 20) {
        int why = files->ops->read(files, name, out->size, buf_reserve(out, step), step, &got);
        if (why)
            return why;
        out->size += got;
        if (got < step)
            return 0;
    }
}

static int read_at_once(struct files *files, const char *name, uint64_t size, struct buf *out)
{
    size_t got;
    buf_clear(out);
    int why = size ? files->ops->read(files, name, 0, buf_reserve(out, (size_t)size), (size_t)size, &got) : 0;
    out->size = why || size == 0 ? 0 : got;
    return why;
}

/* Adds zeros up to `end`, but not beyond the file: a file system may not count trailing zeros that were written as
 * data. */
static void add_zeros(struct buf *b, uint64_t end, uint64_t size)
{
    size_t more = (size_t)(end < size ? end : size) - b->size;
    if (end <= b->size || size <= b->size)
        return;
    memset(buf_reserve(b, more), 0, more);
    b->size += more;
}

int walk_read_segment(struct files *files, const char *name, struct buf *out)
{
    uint64_t data, size;
    int why = files->ops->extent(files, name, &data, &size);
    why = why ? why : read_at_once(files, name, data, out);
    if (why || out->size == 0)
        return why;
    add_zeros(out, out->size + SEGMENT_HEADER_SIZE, size); /* room for a header, a segment's or a group's */
    add_zeros(out, group_reach(buf_span(out)), size);
    return 0;
}

struct place {
    const struct walk *walk;
    struct walked *out;
    struct span bytes;
    size_t at;
    struct segment_header in;
    uint64_t chain;
};

static void take_group(struct place *p, const struct group_header *h)
{
    const uint8_t *group = p->bytes.data + p->at;
    struct span rest = span_of(group + group_header_size(p->in.version), h->size);
    struct record r;
    struct run_record run;
    struct shared_record shared;
    for (const uint8_t *at = rest.data; record_next(&rest, &r) == LOG_OK; at = rest.data) {
        p->out->records++;
        p->out->sealed |= r.type == RECORD_TABLE;
        if (r.type == RECORD_EVENTS && run_read(r.payload, &run))
            p->out->events += run.count;
        if (r.type == RECORD_SHARED && shared_read(r.payload, &shared) && !shared.moved)
            p->out->events += shared.count;
        if (p->walk->record)
            p->walk->record(p->walk->context, p->out->id, p->at, (uint64_t)(at - p->bytes.data), &r);
    }
    p->out->groups++;
    p->at += group_header_size(p->in.version) + h->size;
    p->out->end = p->at;
    p->chain = h->chain;
}

/* Goes to the next whole group behind damage; false: there is none. */
static bool find_next(struct place *p, struct group_header *h)
{
    size_t next = group_search(p->bytes, p->at, &p->in, h);
    if (next == SIZE_MAX)
        return false;
    p->out->damaged++;
    if (p->walk->damage)
        p->walk->damage(p->walk->context, p->out->id, p->at, next);
    p->at = next;
    return true;
}

static bool is_zero(struct span s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i])
            return false;
    }
    return true;
}

int walk_segment(struct log *l, uint64_t id, const struct walk *w, struct walked *out)
{
    char name[FILE_NAME_SIZE];
    struct buf b = { 0 };
    struct group_header h;
    struct span records;
    segment_name(name, id);
    *out = (struct walked){ .id = id, .blank = true };
    if (log_was_never_begun(l, id))
        return 0;
    int why = walk_read_segment(l->files, name, &b);
    bool whole;
    struct place p = { .walk = w, .out = out, .bytes = buf_span(&b) };
    p.in = log_header_in(l, p.bytes, id, &whole);
    p.at = whole ? SEGMENT_HEADER_SIZE : 0;
    p.chain = p.in.chain;
    out->blank = !whole;
    out->end = p.at;
    while (why == 0 && p.at < b.size && !(out->sealed && out->damaged == 0)) {
        struct span rest = span_of(b.data + p.at, b.size - p.at);
        if (!out->blank && group_read(rest, &p.in, p.chain, &h, &records) == LOG_OK)
            take_group(&p, &h);
        else if (find_next(&p, &h))
            take_group(&p, &h);
        else
            break;
    }
    size_t left = p.at < b.size ? b.size - p.at : 0, head = out->blank ? left : group_header_size(p.in.version);
    out->torn = !out->sealed && left && !is_zero(span_of(b.data + p.at, left < head ? left : head));
    buf_free(&b);
    return why;
}
