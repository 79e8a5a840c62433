/* Shared by the tests of events: an arena for decoding, the bytes that were encoded last, and the last error. Each test
 * starts with empty ones. */
#ifndef SLUICE_TESTS_PROTO_EVENT_DRIVER_H
#define SLUICE_TESTS_PROTO_EVENT_DRIVER_H

#include "proto/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S(text) span_str(text)
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

static struct arena arena;
static struct buf encoded;
static struct error why;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    why.text[0] = '\0';
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_free(&arena);
    buf_free(&encoded);
    return 0;
}

static inline struct event minimal(struct attribute *attributes, size_t count)
{
    return (struct event){ .id = S("1"),
                           .source = S("/shop"),
                           .type = S("order.placed"),
                           .attributes = attributes,
                           .attribute_count = count };
}

#endif
