/* Zeros behind what is written into a segment.
 *
 * To the end of a page, and so many that no group's header stands there: behind them may be what an earlier life of the file left, and a
 * start that finds zeros knows that no group was torn off. A page that is written whole need not be read first either.
 *
 * And where little is written at a time into a file that is only allocated, some way ahead. A sync of what was never written waits for
 * the file system's journal, since that has to say that it is written now; so one group waits for many. */
#include "broker/store/log_parts.h"

#define PAGE  4096u
#define AHEAD (128u << 10)

static void add_zeros(struct buf *b, uint64_t more)
{
    memset(buf_reserve(b, (size_t)more), 0, (size_t)more);
    b->size += (size_t)more;
}

/* How far ahead; more than that at once goes without. */
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
