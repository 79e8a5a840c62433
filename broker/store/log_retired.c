/* Freed segments' files that are used again. A segment's file is kept under its own name, which no checkpoint has any more, until a spare is
 * wanted and it takes that one's name. Its bytes stay as they are: writing over what was written before needs nothing of the file system's
 * journal, as writing into what is only allocated does, and nothing is given back to the disk and asked for again. They pass for
 * nothing, since every checksum of a group has its segment's id in it (docs/log-format.md). */
#include "broker/store/log_state.h"

#include "base/mutation.h"

#include <stdio.h>

/* One whose file is longer or shorter than others is of no use. */
static bool is_fit(const struct log *l, const struct segment *s)
{
    return s->own && s->size <= l->config.segment_size;
}

void segment_let_go(struct log *l, const struct segment *s)
{
    if (l->retired_count < RETIRED && is_fit(l, s) && !MUTATED(free_early))
        l->retired[l->retired_count++] = s->id;
    else
        segment_remove_file(l, s->id);
}

bool segment_give_up_retired(struct log *l)
{
    if (l->retired_count == 0)
        return false;
    segment_remove_file(l, l->retired[--l->retired_count]);
    return true;
}

bool retired_becomes(struct log *l, const char *spare)
{
    char name[FILE_NAME_SIZE];
    if (l->retired_count == 0)
        return false;
    segment_name(name, l->retired[--l->retired_count]);
    log_rename(l, name, spare, TAG_SPARE);
    return true;
}

static uint64_t bit_of(uint64_t id)
{
    return UINT64_C(1) << (id & 63);
}

bool spare_was_used(const struct log *l, uint64_t id)
{
    return (l->used & bit_of(id)) != 0;
}

void spare_came(struct log *l, const struct file_op *op)
{
    uint64_t id;
    bool renamed = op->kind == FILE_RENAME;
    if (!segment_id_of(renamed ? op->to : op->name, &id))
        return;
    l->used &= ~bit_of(id);
    if (renamed)
        l->used |= bit_of(id);
}

void retired_remains(struct log *l, const struct file_op *op)
{
    uint64_t id;
    if (op->kind != FILE_RENAME || !segment_id_of(op->name, &id))
        return;
    if (l->retired_count < RETIRED)
        l->retired[l->retired_count++] = id;
    else
        segment_remove_file(l, id); /* others were freed meanwhile */
}
