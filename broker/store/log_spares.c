/* Segments' files: allocated ahead (spares), so that writing needs no room, and removed when nothing in them is needed. A lack of room is
 * waited out, whichever of the two meets it (file systems that copy on write want room for a removal, too); any other error is a disk
 * that fails. */
#include "broker/store/log_parts.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define AGAIN_MS 1000

/* The active one, its spares, and one for checkpoints and what waits to be freed. */
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

/* Groups that are closed and not placed, though no commit is under way: there is no segment for them, or none but the last. */
static bool is_waited_for(const struct log *l)
{
    return l->spares <= 1 && l->first_closed && !l->committing;
}

/* A checkpoint that lacked room comes first, unless it waits itself: it begins when everything is placed. One that is on its way where there is
 * no room has what there is: it may need a spare's, and may free more. And what is being removed may be the very one that would come, and stay
 * for want of room. */
static bool may_come(const struct log *l)
{
    return !l->failed && !l->spare_pending && !l->removing && !(l->no_room && l->checkpointing) &&
           (!l->checkpoint_starved || is_waited_for(l));
}

mono_t segment_due(const struct log *l)
{
    mono_t at = l->no_room && may_come(l) ? l->spare_again : MONO_NEVER;
    return l->leftover_count ? mono_min(at, l->remove_again) : at;
}

/* One at a time: were the first of two to fail and the second to succeed, there would be a gap before it. */
void segment_want_spares(struct log *l)
{
    if (!may_come(l))
        return;
    while (l->spares < SPARES && take_leftover(l, segment_active(l)->id + l->spares + 1))
        l->spares++; /* it was given up, and is still there */
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
