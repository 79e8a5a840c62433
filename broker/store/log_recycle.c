/* Recycling: freed segments' files are used again as spares. The file of a freed segment is kept under its own name,
 * which no checkpoint names any more, until a spare is wanted; then it is renamed to that.
 *
 * Its bytes stay as they are. Overwriting them needs no journal write of the file system, unlike the first write into
 * space that is only allocated, and no space is given back to the disk and requested again. The old bytes are never
 * taken for groups, because every group's checksum covers its segment's id (docs/log-format.md). */
#include "broker/store/log_parts.h"

#include "base/mutation.h"

#include <stdio.h>

/* Only a file of the configured length is worth keeping: of a segment begun since the start, and not made longer by a
 * group larger than a segment. */
static bool is_fit(const struct log *l, const struct segment *s)
{
    return s->begun_here && s->size <= l->config.segment_size;
}

void segment_recycle_or_remove(struct log *l, const struct segment *s)
{
    if (l->recyclable_count < RECYCLABLE_MAX && is_fit(l, s) && !MUTATED(free_early))
        l->recyclable[l->recyclable_count++] = s->id;
    else
        segment_remove_file(l, s->id);
}

bool segment_remove_recyclable(struct log *l)
{
    if (l->recyclable_count == 0)
        return false;
    segment_remove_file(l, l->recyclable[--l->recyclable_count]);
    return true;
}

bool recycle_as_spare(struct log *l, const char *spare)
{
    char name[FILE_NAME_SIZE];
    if (l->recyclable_count == 0)
        return false;
    segment_name(name, l->recyclable[--l->recyclable_count]);
    log_rename(l, name, spare, TAG_SPARE);
    return true;
}

static uint64_t bit_of(uint64_t id)
{
    return UINT64_C(1) << (id & 63);
}

bool spare_is_recycled(const struct log *l, uint64_t id)
{
    return (l->recycled & bit_of(id)) != 0;
}

void spare_arrived(struct log *l, const struct file_op *op)
{
    uint64_t id;
    bool renamed = op->kind == FILE_RENAME;
    if (!segment_id_of(renamed ? op->to : op->name, &id))
        return;
    l->recycled &= ~bit_of(id);
    if (renamed)
        l->recycled |= bit_of(id);
}

void recycle_failed(struct log *l, const struct file_op *op)
{
    uint64_t id;
    if (op->kind != FILE_RENAME || !segment_id_of(op->name, &id))
        return;
    if (l->recyclable_count < RECYCLABLE_MAX)
        l->recyclable[l->recyclable_count++] = id;
    else
        segment_remove_file(l, id); /* others were freed in the meantime */
}
