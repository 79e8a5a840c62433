/* A peer that publishes and consumes before and after what a broken or hostile one sends, and must not notice it. */
#ifndef SLUICE_TESTS_BROKER_CORE_BYSTANDER_H
#define SLUICE_TESTS_BROKER_CORE_BYSTANDER_H

#include "tests/broker/core/driver.h"

#define ORDERS "orders"

/* Two events published, one delivered to and not yet acknowledged by the bystander. */
struct peer *bystander(struct driver *d);
/* It goes on as if nothing had happened. */
void assert_undisturbed(struct peer *p);
/* The next of a sequence that is the same in every run. */
uint64_t random_from(uint64_t *state);

#endif
