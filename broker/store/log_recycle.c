/* Freed segments' files that are used again. A segment's file is kept under its own name, which no checkpoint has any more, until a spare is
 * wanted and it takes that one's name. Its bytes stay as they are: writing over what was written before needs nothing of the file system's
 * journal, as writing into what is only allocated does, and nothing is given back to the disk and asked for again. They pass for
 * nothing, since every checksum of a group has its segment's id in it (docs/log-format.md). */
#include "broker/store/log_parts.h"

#include "base/mutation.h"

#include <stdio.h>

/* One whose file is longer or shorter than others is of no use. */
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
        segment_remove_file(l, id); /* others were freed meanwhile */
}
