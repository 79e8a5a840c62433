#include "base/xalloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reports it without allocating, then aborts: nothing could be relied on afterwards. */
static _Noreturn void give_up(void)
{
    static const char text[] = "out of memory\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written;
    abort();
}

static void *must(void *p)
{
    if (!p)
        give_up();
    return p;
}

/* malloc(0) may return NULL; one byte keeps "never NULL" simple. */
static size_t at_least_one(size_t size)
{
    return size ? size : 1;
}

void *xmalloc(size_t size)
{
    return must(malloc(at_least_one(size)));
}

void *xcalloc(size_t count, size_t size)
{
    return must(calloc(at_least_one(count), at_least_one(size))); /* calloc itself fails on overflow */
}

void *xrealloc(void *p, size_t size)
{
    return must(realloc(p, at_least_one(size)));
}

char *xstrdup(const char *text)
{
    return must(strdup(text));
}
