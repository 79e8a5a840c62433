/* Zeros behind what is written into a segment. They serve two purposes.
 *
 * An end: at least a group header's worth of zeros, up to the end of a page. Behind them may be what the file's
 * earlier use left; a start that finds zeros instead of a header knows that no group was torn off there. Filling the
 * page also saves the system from reading it first.
 *
 * Writing ahead: where small groups go into a file that is only allocated, up to AHEAD bytes more. The first sync of
 * space that was never written waits for the file system's journal, which must record that it is written now; written
 * ahead, one group pays that for many. */
#include "broker/store/log_parts.h"

#define PAGE  4096u
#define AHEAD (128u << 10)

static void add_zeros(struct buf *b, uint64_t more)
{
    memset(buf_reserve(b, (size_t)more), 0, (size_t)more);
    b->size += (size_t)more;
}

/* How far ahead to write. */
static uint64_t ahead(const struct log *l)
{
    return l->config.segment_size / 8 < AHEAD ? l->config.segment_size / 8 : AHEAD;
}

uint64_t pad_written(const struct log *l, struct segment *s, struct buf *b, uint64_t at)
{
    uint64_t end = at + b->size, to = end + GROUP_HEADER_SIZE;
    if (to > s->prewritten && b->size < ahead(l) / 4)
        to += ahead(l);
    to = (to + PAGE - 1) / PAGE * PAGE;
    to = to < l->config.segment_size ? to : l->config.segment_size;
    if (to > end)
        add_zeros(b, to - end);
    s->prewritten = to > s->prewritten ? to : s->prewritten;
    return to > end ? to - end : 0;
}
