/* Segments' files: allocated ahead (spares), so that writing needs no new room, and removed when nothing in them is
 * needed. When there is no room for either (copy-on-write file systems need some for a removal, too), it is tried
 * again every second. Any other error is a failing disk. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define AGAIN_MS 1000

/* The active segment, its spares, and one segment's worth for checkpoints and for what waits to be freed. */
uint64_t log_least_budget(uint64_t segment_size)
{
    return segment_size * (2 + SPARES);
}

uint64_t log_disk_bytes(const struct log *l)
{
    uint64_t others = l->spares + l->spare_pending + l->leftover_count + l->recyclable_count;
    return l->segment_bytes + others * l->config.segment_size + l->checkpoint_size;
}

bool segment_is_at_budget(const struct log *l)
{
    return l->recyclable_count == 0 && log_disk_bytes(l) + l->config.segment_size > l->config.disk_budget;
}

/* ------------------------------------------------------------------ removing */

static bool take_leftover(struct log *l, uint64_t id)
{
    for (uint32_t i = 0; i < l->leftover_count; i++) {
        if (l->leftovers[i] == id) {
            l->leftovers[i] = l->leftovers[--l->leftover_count];
            return true;
        }
    }
    return false;
}

void segment_remove_file(struct log *l, uint64_t id)
{
    char name[FILE_NAME_SIZE];
    segment_name(name, id);
    l->removing++;
    log_submit(l, FILE_REMOVE, name, 0, 0, NULL, TAG_REMOVE);
}

void segment_remove_done(struct log *l, struct file_op *op)
{
    uint64_t id;
    l->removing--;
    if (op->error == 0 || !segment_id_of(op->name, &id))
        return;
    if (!file_lacks_room(op->error)) {
        log_fail(l, "cannot remove", op->name, NO_OFFSET, strerror(op->error));
        return;
    }
    l->leftovers = xrealloc(l->leftovers, (l->leftover_count + 1) * sizeof *l->leftovers);
    l->leftovers[l->leftover_count++] = id;
    l->remove_again = mono_add_ms(l->now, AGAIN_MS);
}

void segment_remove_again(struct log *l)
{
    if (l->failed || !l->leftover_count || mono_before(l->now, l->remove_again))
        return;
    uint32_t count = l->leftover_count;
    l->leftover_count = 0;
    for (uint32_t i = 0; i < count; i++)
        segment_remove_file(l, l->leftovers[i]);
}

/* ------------------------------------------------------------------ spares */

static void lacks_room(struct log *l)
{
    l->no_room = true;
    l->spare_again = mono_add_ms(l->now, AGAIN_MS);
}

/* Closed groups wait although no commit is under way: there is no segment for them, or only the last one. */
static bool groups_need_spare(const struct log *l)
{
    return l->spares <= 1 && l->first_closed && !l->committing;
}

/* May a spare be allocated now? Not while
 *
 *   - a removal is under way: it may be of the very file that would be made, and it may fail for lack of room;
 *   - there was no room, and a checkpoint is being written: it may need that room, and may free more;
 *   - a checkpoint lacked room: it goes first, unless waiting groups need the spare, because it begins only after they
 *     are placed. */
static bool may_allocate_spare(const struct log *l)
{
    return !l->failed && !l->spare_pending && !l->removing && !(l->no_room && l->checkpointing) &&
           (!l->checkpoint_starved || groups_need_spare(l));
}

mono_t segment_due(const struct log *l)
{
    mono_t at = l->no_room && may_allocate_spare(l) ? l->spare_again : MONO_NEVER;
    return l->leftover_count ? mono_min(at, l->remove_again) : at;
}

/* One at a time: if the first of two failed and the second succeeded, there would be a gap between the segments. */
void segment_want_spares(struct log *l)
{
    if (!may_allocate_spare(l))
        return;
    while (l->spares < SPARES && take_leftover(l, segment_active(l)->id + l->spares + 1))
        l->spares++; /* it was given up, but its file could not be removed */
    if (l->spares == SPARES || (l->no_room && mono_before(l->now, l->spare_again)))
        return;
    char name[FILE_NAME_SIZE];
    segment_name(name, segment_active(l)->id + l->spares + 1);
    if (recycle_as_spare(l, name)) {
        l->spare_pending = true;
        return;
    }
    if (segment_is_at_budget(l)) {
        lacks_room(l);
        return;
    }
    l->spare_pending = true;
    log_submit(l, FILE_CREATE, name, 0, l->config.segment_size, NULL, TAG_SPARE);
}

void segment_spare_done(struct log *l, struct file_op *op)
{
    l->spare_pending = false;
    if (op->error == 0) {
        spare_arrived(l, op);
        l->spares++;
        l->no_room = false;
    } else if (file_lacks_room(op->error)) {
        recycle_failed(l, op);
        lacks_room(l);
    } else {
        log_fail(l, op->kind == FILE_RENAME ? "cannot rename" : "cannot allocate", op->name, NO_OFFSET,
                 strerror(op->error));
    }
}
