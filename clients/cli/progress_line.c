#include "clients/cli/pub.h"

#include <stdio.h>
#include <string.h>

#define BAR_MAX 40

static void format_bar(char *out, size_t size, double part, int width)
{
    char bar[BAR_MAX + 1];
    memset(bar, '.', sizeof bar);
    memset(bar, '#', (size_t)(part * width));
    snprintf(out, size, "[%.*s] %3d%%  ", width, bar, (int)(part * 100));
}

void progress_line(uint64_t total, uint64_t bytes, uint64_t events, int64_t elapsed_ms, int width,
                   char line[PROGRESS_SIZE])
{
    char bar[80] = "", left[32] = "";
    double rate = (double)events * 1000 / (double)elapsed_ms;
    if (total && bytes) {
        double part = bytes < total ? (double)bytes / (double)total : 1;
        int64_t s = (int64_t)((double)elapsed_ms / 1000 * (1 - part) / part);
        format_bar(bar, sizeof bar, part, width > 100 ? BAR_MAX : width > 70 ? 20 : 5);
        snprintf(left, sizeof left, "  %lld:%02lld left", (long long)s / 60, (long long)s % 60);
    }
    snprintf(line, width < PROGRESS_SIZE ? (size_t)width : PROGRESS_SIZE, "%s%llu confirmed  %.0f/s%s", bar,
             (unsigned long long)events, rate, left);
}
