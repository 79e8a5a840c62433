/* Allocation that does not return NULL: on exhaustion it writes one line to stderr and aborts. */
#ifndef SLUICE_BASE_XALLOC_H
#define SLUICE_BASE_XALLOC_H

#include <stddef.h>

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size); /* overflow of count * size aborts too */
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *text);

#endif
