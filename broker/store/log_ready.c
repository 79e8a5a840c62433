/* Start-up, last step: getting ready to write. The log never appends to what a crash left, so the last segment is
 * sealed where its valid groups end, and a new one is begun. */
#include "broker/store/log_recover.h"

static bool apply(struct scan *c, enum file_kind kind, uint64_t id, uint64_t offset, uint64_t size, struct buf *data)
{
    struct file_op op = { .kind = kind, .offset = offset, .size = size };
    segment_name(op.name, id);
    if (data)
        op.data = *data;
    int why = c->log->files->ops->apply(c->log->files, &op);
    if (data)
        buf_free(data);
    return why == 0 ? true : error_set(c->e, "cannot write %s: %s", op.name, strerror(why));
}

/* Overwrites the headers of whole groups behind the end: they belong to a torn tail, and their numbers will be used
 * again. Anything else there is never taken for a group. */
static bool clear_tail(struct scan *c, const struct segment *s)
{
    struct group_header h;
    bool any = false;
    for (size_t at = (size_t)s->size; (at = group_search(buf_span(&c->bytes), at, &c->header, &h)) != SIZE_MAX; at++) {
        struct buf zeros = { 0 };
        size_t size = group_header_size(c->header.version);
        memset(buf_reserve(&zeros, size), 0, size);
        zeros.size = size;
        any = true;
        if (!apply(c, FILE_WRITE, s->id, at, 0, &zeros))
            return false;
    }
    return !any || apply(c, FILE_SYNC, s->id, 0, 0, NULL);
}

static bool seal_last(struct scan *c, struct segment *s)
{
    struct log *l = c->log;
    struct buf b = { 0 };
    size_t head = group_header_size(c->header.version);
    buf_reserve(&b, head);
    b.size = head;
    segment_build_table(l, s, &b);
    struct group_header h = { .number = c->at.number, .durable = c->at.number };
    group_header_write(b.data, &h, span_of(b.data + head, b.size - head), &c->header, c->at.chain);
    s->table_at = (uint32_t)(s->size + head);
    s->table_size = (uint32_t)(b.size - head);
    s->sealed = true;
    uint64_t at = s->size;
    s->size += b.size;
    s->written = s->size;
    c->at.chain = h.chain;
    return apply(c, FILE_WRITE, s->id, at, 0, &b) && apply(c, FILE_SYNC, s->id, 0, 0, NULL);
}

/* The offset from which on neither a later group nor the checkpoint states that the bytes were synced. */
static uint64_t first_unsure(const struct scan *c, const struct segment *s)
{
    uint64_t at = s->id == c->from.segment ? c->from.offset : SEGMENT_HEADER_SIZE;
    struct group_header h;
    while (at < s->size && group_header_read(span_of(c->bytes.data + at, (size_t)(s->size - at)), &c->header, &h)) {
        uint64_t next = at + group_header_size(c->header.version) + h.size;
        if (h.number > c->durable || next == s->size)
            break;
        at = next;
    }
    return at > SEGMENT_HEADER_SIZE ? at : 0;
}

/* Makes the groups of the last segment durable. They were read, but the process may have been killed before they were
 * synced. From now on they count as durable: the table that seals the segment says so, and must not reach the disk
 * before they do.
 *
 * Syncing alone is not enough. If the process ended because their sync failed, they may be in the system's memory
 * only, and no further sync brings them to disk: the system takes them for written. So they are written again. */
static bool sync_last(struct scan *c, const struct segment *s)
{
    struct buf b = { 0 };
    uint64_t from = first_unsure(c, s);
    if (from < s->size) {
        buf_add(&b, c->bytes.data + from, (size_t)(s->size - from));
        if (!apply(c, FILE_WRITE, s->id, from, 0, &b))
            return false;
    }
    return apply(c, FILE_SYNC, s->id, 0, 0, NULL);
}

static bool new_segment(struct scan *c, uint64_t id)
{
    struct segment_header h = log_header_of(c->log, id, c->at.chain);
    struct buf b = { 0 };
    segment_header_write(buf_reserve(&b, SEGMENT_HEADER_SIZE), &h);
    b.size = SEGMENT_HEADER_SIZE;
    struct segment *s = segment_add(c->log, id);
    s->begun_here = true;
    pad_written(c->log, s, &b, 0);
    bool fine = apply(c, FILE_CREATE, id, 0, c->log->config.segment_size, NULL) && apply(c, FILE_WRITE, id, 0, 0, &b) &&
                apply(c, FILE_SYNC, id, 0, 0, NULL);
    buf_free(&b);
    return fine;
}

/* Removes segment files that are not part of the log: spares, segments behind the end, and segments that a checkpoint
 * had freed. */
static bool remove_rest(struct scan *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!segment_find(c->log, c->ids[i]) && !apply(c, FILE_REMOVE, c->ids[i], 0, 0, NULL))
            return false;
    }
    return true;
}

bool recover_get_ready(struct scan *c)
{
    struct log *l = c->log;
    struct segment *last = segment_active(l);
    if ((!c->key_in_file && !log_key_write(l, c->e)) || !remove_rest(c))
        return false;
    if (last && (!recover_read(c, last->id) || !sync_last(c, last)))
        return false;
    if (last && !last->sealed && !(clear_tail(c, last) && seal_last(c, last)))
        return false;
    l->chain = c->at.chain;
    l->placed = l->written = l->durable = l->synced = l->reported = c->at.number;
    l->next_number = c->at.number + 1;
    if (!new_segment(c, last ? last->id + 1 : 1))
        return false;
    l->chain = c->at.chain;
    return true;
}
