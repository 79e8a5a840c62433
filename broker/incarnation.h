/* The broker's incarnation: a number that grows with every start, so that state of an earlier start can be told
 * apart. */
#ifndef SLUICE_BROKER_INCARNATION_H
#define SLUICE_BROKER_INCARNATION_H

#include "base/error.h"

#include <stdint.h>

/* Raises the number in DIR/incarnation by one, or to the wall clock's seconds if that is more, and returns it in *out
 * once it is synced. `dir` NULL: returns the wall clock's milliseconds. Makes DIR if it is missing. False with an
 * error when the number cannot be read or written. */
bool incarnation_raise(const char *dir, uint64_t *out, struct error *e);

#endif
