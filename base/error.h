/* A sentence for a person, carried up to where it can be shown. It says what is wrong and what to do.
 * Functions that take `struct error *` fill it exactly when they fail; NULL is allowed. */
#ifndef SLUICE_BASE_ERROR_H
#define SLUICE_BASE_ERROR_H

#include <stdbool.h>

struct error {
    char text[512]; /* "" when nothing failed */
};

/* printf into the error, cut at its size. Returns false, so that `return error_set(...)` reads well. */
bool error_set(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
