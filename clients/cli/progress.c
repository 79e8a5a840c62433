#include "base/clock.h"
#include "clients/cli/pub.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define AFTER_MS 1000 /* shorter runs need no bar */
#define EVERY_MS 100

static int terminal_width(void)
{
    struct winsize w;
    return ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

void progress_show(struct progress *g, uint64_t events, uint64_t bytes)
{
    mono_t now = clock_now().mono;
    int64_t elapsed = mono_since_ms(now, g->start);
    char line[PROGRESS_SIZE];
    if (!g->on || elapsed < AFTER_MS || mono_since_ms(now, g->shown) < EVERY_MS)
        return;
    g->shown = now;
    progress_line(g->total, bytes, events, elapsed, terminal_width(), line);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

/* One, as there is one stderr. */
static struct progress *current;

static void clear(void)
{
    if (current->on && current->shown.ns)
        fputs("\r\033[K", stderr);
    current->shown.ns = 0;
}

void progress_begin(struct progress *g, uint64_t total)
{
    *g = (struct progress){ .on = cli_draws(2), .total = total, .start = clock_now().mono };
    current = g;
    cli_before_message(clear);
}

void progress_end(void)
{
    if (current)
        clear();
}
