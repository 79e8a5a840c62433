/* Prints events. A write to a reader that stalls would block, deaf to signals; a pipe that is ready takes PIPE_BUF bytes
 * without blocking. */
#include "clients/cli/sub.h"

#include "base/xalloc.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* How long a reader has after a signal to read on, so that it gets the event at hand whole. */
#define GRACE_MS 1000

static void add_item(struct buf *text, const struct sub_options *o, const struct sub_item *item)
{
    struct span out = o->json ? item->raw : item->data;
    if (o->attributes && !o->json)
        buf_printf(text, "#%.*s attempt=%.*s id=%.*s source=%.*s type=%.*s\n", (int)item->sequence.size,
                   (const char *)item->sequence.data, (int)item->attempt.size, (const char *)item->attempt.data,
                   (int)item->id.size, (const char *)item->id.data, (int)item->source.size,
                   (const char *)item->source.data, (int)item->type.size, (const char *)item->type.data);
    buf_add(text, out.data, out.size);
    buf_add_byte(text, '\n');
}

/* Waits until the output takes more. False once a signal came: at once between two events, else if the reader stalls. */
static bool may_write(bool between)
{
    struct pollfd p[] = { { .fd = STDOUT_FILENO, .events = POLLOUT }, { .fd = cli_signal_fd(), .events = POLLIN } };
    if (poll(p, 2, -1) > 0 && !p[1].revents)
        return true;
    return !between && poll(p, 1, GRACE_MS) > 0;
}

/* The items of which `written` bytes of text are the beginning; `done` of them are known. */
static size_t items_in(const size_t *ends, size_t count, size_t done, size_t written)
{
    while (done < count && ends[done] <= written)
        done++;
    return done;
}

/* Writes the text of `count` items that end at `ends`. */
static size_t write_items(const struct buf *text, const size_t *ends, size_t count, bool *broken)
{
    size_t written = 0, done = 0;
    while (done < count && !*broken && may_write(written == (done ? ends[done - 1] : 0))) {
        size_t left = (cli_stopped() ? ends[done] : text->size) - written;
        ssize_t n = write(STDOUT_FILENO, text->data + written, left < PIPE_BUF ? left : PIPE_BUF);
        *broken = n < 0 && errno != EAGAIN && errno != EINTR;
        written += n > 0 ? (size_t)n : 0;
        done = items_in(ends, count, done, written);
    }
    return done;
}

size_t sub_print(const struct sub *s, const struct sub_item *items, size_t count, bool *broken)
{
    struct buf text = { 0 };
    size_t *ends = xcalloc(count, sizeof *ends);
    *broken = false;
    for (size_t i = 0; i < count; i++) {
        add_item(&text, &s->options, &items[i]);
        ends[i] = text.size;
    }
    size_t printed = write_items(&text, ends, count, broken);
    buf_free(&text);
    free(ends);
    return printed;
}
