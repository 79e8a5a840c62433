/* Start-up: reads the checkpoint, then every group that was written after it, in order; cuts the tail where writing
 * was torn off; seals the last segment and begins a new one, so that the log never appends to what a crash left.
 *
 * Torn or damaged? A group that was synced is whole. So a place without a valid group is the torn tail, unless some
 * group anywhere behind it states that a number at or beyond the missing one was durable when it was written. Then
 * what is missing was synced once and is damaged, which stops the start. */
#include "broker/store/log_recover.h"
#include "broker/store/log_parts.h"

#include "broker/store/log_walk.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool recover_read(struct scan *c, uint64_t id)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, id);
    int why = walk_read_segment(c->log->files, name, &c->bytes);
    return why == 0 ? true : error_set(c->e, "cannot read %s: %s", name, strerror(why));
}

/* ------------------------------------------------------------------ torn or damaged */

static bool damaged(struct scan *c, uint64_t segment, uint64_t offset)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, segment);
    error_set(c->e,
              "%s: damaged at offset %" PRIu64 ": group %" PRIu64
              " was on disk before and is not whole now; restore the directory from a copy, or salvage what is "
              "left with sluice-broker --repair DIR TO",
              name, offset, c->at.number + 1);
    return false;
}

/* Does any group at or behind `from` in the segment's bytes prove that the missing group was durable? */
static bool proves_durable(const struct scan *c, uint64_t segment, size_t from)
{
    bool whole;
    struct group_header h;
    struct span bytes = buf_span(&c->bytes);
    struct segment_header in = log_header_in(c->log, bytes, segment, &whole);
    if (!whole && c->header.version == 1)
        in.version = 1; /* it follows a segment of that version */
    for (size_t at = from; (at = group_search(bytes, at, &in, &h)) != SIZE_MAX; at++) {
        if (h.durable > c->at.number)
            return true;
    }
    return false;
}

/* The scan stopped in segment `index` at c->at.offset. True: nothing durable is missing. */
static bool check_tail(struct scan *c, size_t index)
{
    uint64_t segment = c->ids[index];
    if (proves_durable(c, segment, (size_t)c->at.offset))
        return damaged(c, segment, c->at.offset);
    for (size_t i = index + 1; i < c->count; i++) {
        if (log_was_never_begun(c->log, c->ids[i]))
            continue;
        if (!recover_read(c, c->ids[i]))
            return false;
        if (proves_durable(c, c->ids[i], 0))
            return damaged(c, segment, c->at.offset);
    }
    return true;
}

/* ------------------------------------------------------------------ segments */

static bool check_header(struct scan *c, uint64_t id, struct segment_header *h, bool *whole)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, id);
    *h = log_header_in(c->log, buf_span(&c->bytes), id, whole);
    if (*whole && h->version > LOG_VERSION)
        return error_set(c->e,
                         "%s: written by a newer version (format %u, this broker reads up to %u); start that version",
                         name, h->version, LOG_VERSION);
    return true;
}

/* Does the log agree with the checkpoint where the checkpoint says that the log continues? An empty segment takes its
 * number from the checkpoint. */
static bool agrees_with_checkpoint(struct scan *c, const struct segment *s)
{
    if (s->id != c->from.segment || c->at.offset < c->from.offset)
        return true;
    if (c->at.offset > c->from.offset)
        return c->at.number >= c->from.number; /* a table repeats its number */
    c->at.number = c->from.number;
    return c->at.chain == c->from.chain;
}

/* Reads one segment's groups. *more: it is sealed, so the next segment follows. */
static bool scan_segment(struct scan *c, struct segment *s, bool *more)
{
    struct group_header h;
    struct span records;
    struct span bytes = buf_span(&c->bytes);
    c->at.offset = SEGMENT_HEADER_SIZE;
    while (!s->sealed && c->at.offset < bytes.size &&
           group_read(span_of(bytes.data + c->at.offset, bytes.size - (size_t)c->at.offset), &c->header, c->at.chain,
                      &h, &records) == LOG_OK) {
        if (!agrees_with_checkpoint(c, s))
            return damaged(c, s->id, c->at.offset);
        bool known = s->id == c->from.segment && c->at.offset < c->from.offset;
        if (!replay_group(c, s, records, known)) {
            char name[FILE_NAME_SIZE];
            segment_name(name, s->id);
            return error_set(c->e, "%s: the group at offset %" PRIu64 " has a record that this version cannot read",
                             name, c->at.offset);
        }
        size_t size = group_header_size(c->header.version) + h.size;
        c->at.offset += size;
        c->at.chain = h.chain;
        c->at.number = h.number;
        c->durable = h.durable;
        c->log->info.unclean |= !known;
        if (!known)
            c->log->since_checkpoint += size;
    }
    if (!agrees_with_checkpoint(c, s))
        return damaged(c, s->id, c->at.offset);
    s->size = s->written = c->at.offset;
    *more = s->sealed;
    return true;
}

static bool begin_segment(struct scan *c, uint64_t id, struct segment **out, bool *blank)
{
    struct segment_header h;
    bool whole;
    if (!recover_read(c, id) || !check_header(c, id, &h, &whole))
        return false;
    struct segment *s = segment_find(c->log, id);
    if (id == c->from.segment && s) { /* scanned from its start, to rebuild its table */
        if (!whole)
            return damaged(c, id, 0);
        c->at.chain = h.chain;
        c->at.number = 0;
        s->sealed = false;
        s->all_events = 0; /* counted again */
    }
    *blank = !whole || h.chain != c->at.chain;
    if (!*blank)
        c->header = h;
    if (!*blank && !s)
        s = segment_add(c->log, id);
    *out = s;
    return true;
}

/* Only a checkpoint frees segments: if the first segment is gone, there was a checkpoint. */
static bool lacks_checkpoint(struct scan *c)
{
    struct segment_header h;
    for (size_t i = 0; c->from.segment == 0 && i < c->count && c->ids[0] > 1; i++) {
        if (!recover_read(c, c->ids[i]))
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

/* A segment's header is synced before anything is written behind it. So the first segment's header may be torn, but
 * not with something behind it. */
static bool holds_more_than_a_header(const struct scan *c)
{
    for (size_t i = SEGMENT_HEADER_SIZE; i < c->bytes.size; i++) {
        if (c->bytes.data[i])
            return true;
    }
    return false;
}

/* Scans all groups. *end: index of the segment in which the log ends; c->count: there is none. */
static bool scan_all(struct scan *c, size_t *end)
{
    size_t i = first_index(c);
    *end = c->count;
    assert(c->from.segment == 0 || (i < c->count && c->ids[i] == c->from.segment)); /* all_there checked it */
    for (bool more = true, blank; more && i < c->count; i++) {
        struct segment *s = NULL;
        if (!begin_segment(c, c->ids[i], &s, &blank))
            return false;
        if (blank) {
            c->at.offset = 0;
            if (c->at.segment == 0 && holds_more_than_a_header(c))
                return damaged(c, c->ids[i], 0);
            return check_tail(c, i);
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
    c->log->info.torn = group_read(rest, &c->header, c->at.chain, &h, &records) == LOG_BAD;
    return reached_checkpoint(c) && check_tail(c, *end);
}

/* ------------------------------------------------------------------ the whole */

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

/* A file that is larger than segments are now counts as one of these. Otherwise it alone could exceed a budget that
 * is made for the smaller ones, and there would be no spare into which it could be emptied. */
static void take_size(void *context, const char *name, uint64_t size)
{
    struct log *l = context;
    uint64_t id;
    struct segment *s = segment_id_of(name, &id) ? segment_find(l, id) : NULL;
    if (s && size < l->config.segment_size)
        segment_set_file_bytes(l, s, size);
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

static bool recover(struct log *l, const struct log_replay *replay, bool read_only, struct error *e)
{
    struct scan c = { .log = l, .replay = replay, .e = e };
    bool found;
    size_t end;
    bool fine = log_key_find(l, &c.key_in_file, e) && checkpoint_read(l, replay, &c.from, &found, e);
    if (fine) {
        int why;
        c.ids = walk_list(l->files, &c.count, &why);
        fine = why == 0 ? true : error_set(e, "cannot list the data directory: %s", strerror(why));
    }
    fine = fine && all_there(&c) && !lacks_checkpoint(&c) && scan_all(&c, &end);
    l->files->ops->list(l->files, take_size, l);
    fine = fine && (read_only || recover_get_ready(&c));
    if (l->since_checkpoint) /* a checkpoint is due at once, so that the next start need not replay this again */
        l->since_checkpoint += l->config.segment_size;
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
