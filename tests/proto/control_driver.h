/* Shared by the tests of control messages: an arena for unpacking, and the bytes of the message that was packed last.
 * Each test starts with empty ones. */
#ifndef SLUICE_TESTS_PROTO_CONTROL_DRIVER_H
#define SLUICE_TESTS_PROTO_CONTROL_DRIVER_H

#include "proto/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena arena;
static struct buf packed;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&packed);
    return 0;
}

static inline void assert_same_settings(const struct queue_settings *a, const struct queue_settings *b)
{
    assert_int_equal(a->present, b->present);
    for (unsigned i = 0; i < QUEUE_SETTING_COUNT; i++)
        assert_true(queue_settings_same(a, b, (enum queue_setting)i));
}

#define with_arena(test) cmocka_unit_test_setup_teardown(test, begin, end)

#endif
