/* The table of reasons: numbers and names are the interface, so they are fixed here once more. */
#include "proto/reason.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    unsigned number;
} reasons[] = {
#define REASON(name, number, status, retryable, title) { #name, number },
#include "proto/reasons.def"
#undef REASON
};
#define COUNT (sizeof reasons / sizeof *reasons)

static void numbers_and_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(reasons[i].number, reasons[j].number);
            assert_string_not_equal(reasons[i].name, reasons[j].name);
        }
    }
}

static void numbers_are_dense_from_0(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(reasons[i].number, i);
}

static void numbers_given_out_keep_their_meaning(void **state)
{
    (void)state;
    static const char *const names[] = { "ok",
                                         "full",
                                         "budget",
                                         "denied",
                                         "closed",
                                         "no_consumer",
                                         "unrouted",
                                         "disk",
                                         "unknown_queue",
                                         "deleted",
                                         "too_large",
                                         "unknown",
                                         "unavailable",
                                         "draining",
                                         "invalid",
                                         "not_empty",
                                         "exists",
                                         "conflict",
                                         "managed",
                                         "too_many_queues",
                                         "version",
                                         "inbox_unreachable",
                                         "unknown_producer",
                                         "unknown_session",
                                         "skipped",
                                         "unauthorized",
                                         "origin",
                                         "host",
                                         "not_found",
                                         "method",
                                         "not_acceptable",
                                         "timeout",
                                         "media_type",
                                         "headers_too_large",
                                         "busy",
                                         "fenced",
                                         "operating",
                                         "internal",
                                         "unknown_topic",
                                         "bound" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        assert_string_equal(reason_info(i)->name, names[i]);
}

static void each_reason_has_a_status_and_a_title_for_people(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const struct reason_info *info = reason_info(reasons[i].number);
        assert_string_equal(info->name, reasons[i].name);
        assert_true(info->status >= (i ? 400 : 200) && info->status < 600);
        assert_true(strlen(info->title) > 3 && strlen(info->title) < 160);
        assert_true(info->title[strlen(info->title) - 1] != '.');
        for (const char *c = info->name; *c; c++)
            assert_true(islower((unsigned char)*c) || *c == '_');
    }
}

static void reasons_that_may_be_retried_say_so(void **state)
{
    (void)state;
    static const enum reason retryable[] = { REASON_full,     REASON_budget, REASON_unknown, REASON_unavailable,
                                             REASON_draining, REASON_busy,   REASON_timeout };
    static const enum reason final[] = {
        REASON_ok,      REASON_denied,    REASON_closed,           REASON_unknown_queue,
        REASON_invalid, REASON_too_large, REASON_unknown_producer, REASON_fenced
    };
    for (size_t i = 0; i < sizeof retryable / sizeof *retryable; i++)
        assert_true(reason_info(retryable[i])->retryable);
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        assert_false(reason_info(final[i])->retryable);
}

static void only_reasons_for_certainly_not_accepted_are_503(void **state)
{
    (void)state;
    assert_int_equal(reason_info(REASON_unknown)->status, 504);
    assert_int_equal(reason_info(REASON_unknown_producer)->status, 504);
    assert_int_equal(reason_info(REASON_unavailable)->status, 503);
}

static void numbers_of_a_newer_peer_are_unrecognised(void **state)
{
    (void)state;
    static const unsigned numbers[] = { COUNT, 1000, UINT32_MAX };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct reason_info *info = reason_info(numbers[i]);
        assert_string_equal(info->name, "unrecognised");
        assert_int_equal(info->status, 500);
        assert_false(info->retryable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_names_are_unique),
        cmocka_unit_test(numbers_are_dense_from_0),
        cmocka_unit_test(numbers_given_out_keep_their_meaning),
        cmocka_unit_test(each_reason_has_a_status_and_a_title_for_people),
        cmocka_unit_test(reasons_that_may_be_retried_say_so),
        cmocka_unit_test(only_reasons_for_certainly_not_accepted_are_503),
        cmocka_unit_test(numbers_of_a_newer_peer_are_unrecognised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
