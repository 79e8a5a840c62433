/* The broker's incarnation: a number that grows with every start, so that state of an earlier one is told apart. */
#ifndef SLUICE_BROKER_INCARNATION_H
#define SLUICE_BROKER_INCARNATION_H

#include "base/error.h"

#include <stdint.h>

/* Raises the number kept in DIR/incarnation, to the wall clock's seconds at least, and gives it back once it is safely there;
 * without a directory the wall clock's milliseconds serve. DIR is made when it is missing. False with a sentence when it cannot be written. */
bool incarnation_raise(const char *dir, uint64_t *out, struct error *e);

#endif
