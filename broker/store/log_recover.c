/* Start-up: the checkpoint, then every group written after it, in order; the tail is cut where writing was torn off; the last segment
 * is sealed and a new one begun, so that what runs later never appends to what a crash left.
 *
 * Torn or damaged? A group that was synced is whole. So a place that holds no valid group is the torn tail, unless some group, found
 * anywhere behind it, says that a number at or beyond the missing one was durable when it was written: then what is
 * missing was synced once, and was damaged since. That stops the start. */
#include "broker/store/log_state.h"

#include "base/xalloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct scan {
    struct log *log;
    const struct log_replay *replay;
    struct position at;   /* behind the last valid group */
    struct position from; /* records before it are in the checkpoint */
    uint64_t *ids;        /* segments on disk, ascending */
    size_t count, capacity;
    struct buf bytes; /* of the segment being read */
    struct error *e;
};

static void find_segment(void *context, const char *name, uint64_t size)
{
    struct scan *c = context;
    uint64_t id;
    (void)size;
    if (!segment_id_of(name, &id))
        return;
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 16;
        c->ids = xrealloc(c->ids, c->capacity * sizeof *c->ids);
    }
    c->ids[c->count++] = id;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool read_segment(struct scan *c, uint64_t id)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, id);
    c->bytes.size = 0;
    for (size_t got, step = 256u << 10;; step = 4u << 20) {
        int why =
            c->log->files->ops->read(c->log->files, name, c->bytes.size, buf_reserve(&c->bytes, step), step, &got);
        if (why)
            return error_set(c->e, "cannot read %s: %s", name, strerror(why));
        c->bytes.size += got;
        if (got < step)
            return true;
    }
}

/* ------------------------------------------------------------------ records */

static void apply_run(struct scan *c, struct segment *s, const struct record *r, const struct run_record *run,
                      const struct table_entry *place)
{
    struct log *l = c->log;
    if (r->type == RECORD_MOVED) {
        extent_move(l, s, place, run->bytes);
        return;
    }
    struct log_queue *q = log_queue_of(l, run->queue, true);
    if (run->first < q->placed_end)
        return; /* replay is idempotent on queue and sequence */
    q->live += run->count;
    q->live_bytes += run->bytes;
    extent_add(l, s, place, run->bytes);
    struct store_run told = { .queue = run->queue,
                              .first = run->first,
                              .count = (size_t)run->count,
                              .accepted_ms = run->accepted_ms,
                              .note = run->note };
    if (c->replay->run)
        c->replay->run(c->replay->context, &told, run->bytes);
}

/* A run of the active segment from before the checkpoint: its extents are known, its place is wanted for the table. */
static void place_run(struct log *l, struct segment *s, const struct table_entry *place)
{
    struct log_queue *q = log_queue_of(l, place->queue, false);
    for (uint32_t i = 0; q && i < q->extent_count; i++) {
        struct extent *x = &q->extents[i];
        if (x->segment != s || x->first >= place->first + place->count || x->end <= place->first)
            continue;
        if (x->run_count == x->run_capacity) {
            x->run_capacity = x->run_capacity ? x->run_capacity * 2 : 16;
            x->runs = xrealloc(x->runs, x->run_capacity * sizeof *x->runs);
        }
        x->runs[x->run_count++] = *place;
    }
}

static bool apply_settled(struct scan *c, struct span payload)
{
    struct settled_record s;
    struct settled_range r;
    enum log_status status;
    if (!settled_read(payload, &s))
        return false;
    struct log_queue *q = log_queue_of(c->log, s.queue, false);
    while ((status = settled_range_next(&s, &r)) == LOG_OK) {
        if (q && r.end > q->placed_end)
            return false;
        uint64_t gone = q ? extent_settle(c->log, q, r.first, r.end, r.bytes) : 0;
        if (gone && c->replay->settled)
            c->replay->settled(c->replay->context, s.queue, r.cause, r.first, gone);
    }
    return status == LOG_END;
}

static bool apply_forgotten(struct scan *c, struct span payload)
{
    uint32_t id;
    if (!forgotten_read(payload, &id))
        return false;
    struct log_queue *q = log_queue_of(c->log, id, false);
    if (q)
        log_queue_drop(c->log, q);
    return true;
}

static bool apply_record(struct scan *c, struct segment *s, const struct record *r, uint32_t offset, bool known)
{
    struct run_record run;
    switch (r->type) {
    case RECORD_EVENTS:
    case RECORD_MOVED: {
        if (!run_read(r->payload, &run))
            return false;
        struct table_entry place = { run.queue, (uint32_t)run.count, run.first, offset,
                                     (uint32_t)r->payload.size + RECORD_HEADER_SIZE };
        segment_add_run(s, &place);
        if (known)
            place_run(c->log, s, &place);
        else
            apply_run(c, s, r, &run, &place);
        return true;
    }
    case RECORD_SETTLED: return known || apply_settled(c, r->payload);
    case RECORD_FORGOTTEN: return known || apply_forgotten(c, r->payload);
    case RECORD_NOTE:
        if (!known && c->replay->note)
            c->replay->note(c->replay->context, r->payload);
        return true;
    case RECORD_TABLE:
        s->sealed = true;
        s->table_at = offset;
        s->table_size = (uint32_t)r->payload.size + RECORD_HEADER_SIZE;
        segment_drop_places(c->log, s);
        return true;
    }
    return false;
}

static bool apply_group(struct scan *c, struct segment *s, struct span records, bool known)
{
    const uint8_t *start = c->bytes.data;
    struct record r;
    enum log_status status;
    const uint8_t *at = records.data;
    while ((status = record_next(&records, &r)) == LOG_OK) {
        if (r.version != 1 || !apply_record(c, s, &r, (uint32_t)(at - start), known))
            return false;
        at = records.data;
    }
    return status == LOG_END;
}

/* ------------------------------------------------------------------ torn or damaged */

static bool damaged(struct scan *c, uint64_t segment, uint64_t offset)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, segment);
    error_set(c->e,
              "%s: damaged at offset %" PRIu64 ": group %" PRIu64
              " was on disk once and is not whole; restore the directory from a copy, or salvage what is "
              "left with sluice-broker --repair DIR TO",
              name, offset, c->at.number + 1);
    return false;
}

/* Does any group at or behind `from` in the bytes prove that the missing one was durable? */
static bool proves_durable(const struct scan *c, size_t from)
{
    struct group_header h;
    struct span bytes = buf_span(&c->bytes);
    for (size_t at = from; (at = group_search(bytes, at, &h)) != SIZE_MAX; at++) {
        if (h.durable > c->at.number)
            return true;
    }
    return false;
}

/* The scan stopped in segment `index` at c->at.offset. True: nothing durable is missing. */
static bool judge_tail(struct scan *c, size_t index)
{
    uint64_t segment = c->ids[index];
    if (proves_durable(c, (size_t)c->at.offset))
        return damaged(c, segment, c->at.offset);
    for (size_t i = index + 1; i < c->count; i++) {
        if (!read_segment(c, c->ids[i]))
            return false;
        if (proves_durable(c, 0))
            return damaged(c, segment, c->at.offset);
    }
    return true;
}

/* ------------------------------------------------------------------ segments */

static bool check_header(struct scan *c, uint64_t id, bool *blank)
{
    struct segment_header h;
    char name[FILE_NAME_SIZE];
    segment_name(name, id);
    enum log_status status = segment_header_read(buf_span(&c->bytes), &h);
    *blank = status != LOG_OK || h.id != id || h.chain != c->at.chain;
    if (status == LOG_OK && h.version > LOG_VERSION)
        return error_set(c->e,
                         "%s: written by a newer version (format %u, this broker reads up to %u); start that version",
                         name, h.version, LOG_VERSION);
    return true;
}

/* Where the checkpoint says that the log went on, the log says the same. An empty segment takes its number from there. */
static bool agrees(struct scan *c, const struct segment *s)
{
    if (s->id != c->from.segment || c->at.offset < c->from.offset)
        return true;
    if (c->at.offset > c->from.offset)
        return c->at.number >= c->from.number; /* a table repeats its number */
    c->at.number = c->from.number;
    return c->at.chain == c->from.chain;
}

/* Reads one segment's groups. *more: it is sealed, the next one follows. */
static bool scan_segment(struct scan *c, struct segment *s, bool *more)
{
    struct group_header h;
    struct span records;
    struct span bytes = buf_span(&c->bytes);
    c->at.offset = SEGMENT_HEADER_SIZE;
    while (!s->sealed && c->at.offset < bytes.size &&
           group_read(span_of(bytes.data + c->at.offset, bytes.size - (size_t)c->at.offset), s->id, c->at.chain, &h,
                      &records) == LOG_OK) {
        if (!agrees(c, s))
            return damaged(c, s->id, c->at.offset);
        bool known = s->id == c->from.segment && c->at.offset < c->from.offset;
        if (!apply_group(c, s, records, known)) {
            char name[FILE_NAME_SIZE];
            segment_name(name, s->id);
            return error_set(c->e, "%s: the group at offset %" PRIu64 " has a record that this version cannot read",
                             name, c->at.offset);
        }
        c->at.offset += GROUP_HEADER_SIZE + h.size;
        c->at.chain = h.chain;
        c->at.number = h.number;
        c->log->info.unclean |= !known;
        if (!known)
            c->log->since_checkpoint += GROUP_HEADER_SIZE + h.size;
    }
    if (!agrees(c, s))
        return damaged(c, s->id, c->at.offset);
    s->size = s->written = c->at.offset;
    *more = s->sealed;
    return true;
}

static bool begin_segment(struct scan *c, uint64_t id, struct segment **out, bool *blank)
{
    if (!read_segment(c, id) || !check_header(c, id, blank))
        return false;
    struct segment *s = segment_find(c->log, id);
    if (id == c->from.segment && s) { /* the checkpoint's active segment is scanned from its start for its table */
        struct segment_header h;
        *blank = segment_header_read(buf_span(&c->bytes), &h) != LOG_OK || h.id != id;
        c->at.chain = h.chain;
        c->at.number = 0;
        s->sealed = false;
        s->all_events = 0; /* counted again */
        if (*blank)
            return damaged(c, id, 0);
    }
    if (!*blank && !s)
        s = segment_add(c->log, id);
    *out = s;
    return true;
}

/* Segments are freed only by a checkpoint: where the first is gone, there was one. */
static bool lacks_checkpoint(struct scan *c)
{
    struct segment_header h;
    for (size_t i = 0; c->from.segment == 0 && i < c->count && c->ids[0] > 1; i++) {
        if (!read_segment(c, c->ids[i]))
            return true;
        if (segment_header_read(buf_span(&c->bytes), &h) == LOG_OK && h.id == c->ids[i]) {
            error_set(c->e,
                      "the file checkpoint is missing; restore the directory from a copy, or salvage what is left "
                      "with sluice-broker --repair DIR TO");
            return true;
        }
    }
    return false;
}

static size_t first_index(const struct scan *c)
{
    size_t i = 0;
    while (i < c->count && c->ids[i] < c->from.segment)
        i++;
    return i;
}

static bool reached_checkpoint(struct scan *c)
{
    if (c->from.segment == 0 || c->at.segment > c->from.segment ||
        (c->at.segment == c->from.segment && c->at.offset >= c->from.offset))
        return true;
    return damaged(c, c->at.segment ? c->at.segment : c->from.segment, c->at.offset);
}

/* Every group there is. *end: index of the segment in which it ends; count when there is none. */
static bool scan_all(struct scan *c, size_t *end)
{
    size_t i = first_index(c);
    *end = c->count;
    if (c->from.segment && (i == c->count || c->ids[i] != c->from.segment))
        return damaged(c, c->from.segment, 0);
    for (bool more = true, blank; more && i < c->count; i++) {
        struct segment *s;
        if (!begin_segment(c, c->ids[i], &s, &blank))
            return false;
        if (blank) {
            c->at.offset = 0;
            return judge_tail(c, i);
        }
        c->at.segment = c->ids[i];
        *end = i;
        if (!scan_segment(c, s, &more))
            return false;
    }
    if (*end == c->count)
        return true;
    struct segment *last = segment_active(c->log);
    if (last->sealed)
        return reached_checkpoint(c);
    struct group_header h;
    struct span rest = span_of(c->bytes.data + c->at.offset, c->bytes.size - (size_t)c->at.offset), records;
    c->log->info.torn = group_read(rest, last->id, c->at.chain, &h, &records) == LOG_BAD;
    return reached_checkpoint(c) && judge_tail(c, *end);
}

/* ------------------------------------------------------------------ getting ready to write */

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

static bool seal_last(struct scan *c, struct segment *s)
{
    struct log *l = c->log;
    struct buf b = { 0 };
    buf_reserve(&b, GROUP_HEADER_SIZE);
    b.size = GROUP_HEADER_SIZE;
    segment_build_table(l, s, &b);
    struct group_header h = { .number = c->at.number, .durable = c->at.number };
    group_header_write(b.data, &h, span_of(b.data + GROUP_HEADER_SIZE, b.size - GROUP_HEADER_SIZE), s->id, c->at.chain);
    s->table_at = (uint32_t)s->size + GROUP_HEADER_SIZE;
    s->table_size = (uint32_t)b.size - GROUP_HEADER_SIZE;
    s->sealed = true;
    uint64_t at = s->size;
    s->size += b.size;
    s->written = s->size;
    c->at.chain = h.chain;
    return apply(c, FILE_WRITE, s->id, at, 0, &b) && apply(c, FILE_SYNC, s->id, 0, 0, NULL);
}

/* It was sealed, but the process may have been killed before that was synced. From now on it counts as durable. */
static bool sync_last(struct scan *c, const struct segment *s)
{
    return apply(c, FILE_SYNC, s->id, 0, 0, NULL);
}

static bool new_segment(struct scan *c, uint64_t id)
{
    struct segment_header h = { .version = LOG_VERSION, .id = id, .chain = c->at.chain };
    struct buf b = { 0 };
    segment_header_write(buf_reserve(&b, SEGMENT_HEADER_SIZE), &h);
    b.size = SEGMENT_HEADER_SIZE;
    segment_add(c->log, id);
    bool fine = apply(c, FILE_CREATE, id, 0, c->log->config.segment_size, NULL) && apply(c, FILE_WRITE, id, 0, 0, &b) &&
                apply(c, FILE_SYNC, id, 0, 0, NULL);
    buf_free(&b);
    return fine;
}

/* Removes what no longer counts: spares, what was written behind the end, and segments that a checkpoint had freed already. */
static bool remove_rest(struct scan *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (!segment_find(c->log, c->ids[i]) && !apply(c, FILE_REMOVE, c->ids[i], 0, 0, NULL))
            return false;
    }
    return true;
}

static bool get_ready(struct scan *c)
{
    struct log *l = c->log;
    struct segment *last = segment_active(l);
    if (!remove_rest(c))
        return false;
    if (last && !(last->sealed ? sync_last(c, last) : seal_last(c, last)))
        return false;
    l->chain = c->at.chain;
    l->placed = l->written = l->durable = l->synced = l->told = c->at.number;
    l->next_number = c->at.number + 1;
    if (!new_segment(c, last ? last->id + 1 : 1))
        return false;
    l->chain = c->at.chain;
    return true;
}

static void find_short(void *context, const char *name, uint64_t size)
{
    struct scan *c = context;
    uint64_t id;
    const struct segment *s = segment_id_of(name, &id) ? segment_find(c->log, id) : NULL;
    if (s && size < s->size && !c->e->text[0])
        error_set(
            c->e,
            "%s: damaged at offset %" PRIu64 ": the file ends there, it had %" PRIu64
            " bytes; restore the directory from a copy, or salvage what is left with sluice-broker --repair DIR TO",
            name, size, s->size);
}

static bool all_there(const struct scan *c)
{
    for (uint32_t i = 0; i < c->log->segment_count; i++) {
        uint64_t id = c->log->segments[i]->id;
        if (!bsearch(&id, c->ids, c->count, sizeof id, by_number)) {
            char name[FILE_NAME_SIZE];
            segment_name(name, id);
            return error_set(c->e,
                             "%s is missing; restore the directory from a copy, or salvage what is left with "
                             "sluice-broker --repair DIR TO",
                             name);
        }
    }
    c->e->text[0] = 0;
    c->log->files->ops->list(c->log->files, find_short, (void *)(uintptr_t)c);
    return c->e->text[0] == 0;
}

static bool recover(struct log *l, const struct log_replay *replay, bool only_read, struct error *e)
{
    struct scan c = { .log = l, .replay = replay, .e = e };
    bool found;
    size_t end;
    bool fine = checkpoint_read(l, replay, &c.from, &found, e);
    if (fine) {
        int why = l->files->ops->list(l->files, find_segment, &c);
        fine = why == 0 ? true : error_set(e, "cannot list the data directory: %s", strerror(why));
        if (c.count)
            qsort(c.ids, c.count, sizeof *c.ids, by_number);
    }
    fine = fine && all_there(&c) && !lacks_checkpoint(&c) && scan_all(&c, &end) && (only_read || get_ready(&c));
    if (l->since_checkpoint)
        l->since_checkpoint += l->config.segment_size; /* so that the next start has nothing to replay again */
    free(c.ids);
    buf_free(&c.bytes);
    return fine;
}

bool log_recover(struct log *l, const struct log_replay *replay, struct error *e)
{
    return recover(l, replay, false, e);
}

bool log_scan(struct log *l, const struct log_replay *replay, struct error *e)
{
    return recover(l, replay, true, e);
}
