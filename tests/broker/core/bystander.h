/* A peer that publishes and consumes before and after a broken or hostile peer sends something, and must not be
 * disturbed. */
#ifndef SLUICE_TESTS_BROKER_CORE_BYSTANDER_H
#define SLUICE_TESTS_BROKER_CORE_BYSTANDER_H

#include "tests/broker/core/driver.h"

#define ORDERS "orders"

/* A bystander that has published two events, and got one of them that it has not acked yet. */
struct peer *bystander(struct driver *d);
/* Asserts that it goes on as if nothing had happened. */
void assert_undisturbed(struct peer *p);
/* The next pseudo-random number; the sequence is the same in every run. */
uint64_t random_from(uint64_t *state);

#endif
