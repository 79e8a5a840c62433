/* The fixture that tests of the log share: the model beside an open log, with segments of 64 KiB, synced by group. */
#ifndef SLUICE_TESTS_LOG_FIXTURE_H
#define SLUICE_TESTS_LOG_FIXTURE_H

#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

extern struct model m;
extern uint64_t chance; /* the random state of disk_damage() */

/* A test that begins with an empty log of so many queues. */
#define with_queues(test, count)                                                                                       \
    cmocka_unit_test_prestate_setup_teardown(test, log_fixture_begin, log_fixture_end, &(uint32_t){ count })

int log_fixture_begin(void **state);
int log_fixture_end(void **state);

#endif
