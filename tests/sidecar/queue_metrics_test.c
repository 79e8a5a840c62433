/* Which queues have series of their own. */
#include "base/settings.h"
#include "sidecar/metrics.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static char *patterns[] = { "job-*" };
static const struct setting_list pinned = { patterns, 1 };

static void the_first_have_their_own_and_keep_it(void **state)
{
    struct queue_metrics *m = queue_metrics_new(2, &pinned);
    (void)state;
    assert_true(queue_metrics_has_series(m, "a"));
    assert_true(queue_metrics_has_series(m, "job-1"));
    assert_true(queue_metrics_has_series(m, "b"));
    assert_false(queue_metrics_has_series(m, "c"));
    assert_true(queue_metrics_has_series(m, "job-2"));
    assert_true(queue_metrics_has_series(m, "a"));
    assert_false(queue_metrics_has_series(m, "other"));
    queue_metrics_free(m);
}

static void pinned_names_take_no_memory(void **state)
{
    struct queue_metrics *m = queue_metrics_new(2, &pinned);
    (void)state;
    assert_true(queue_metrics_has_series(m, "job-first"));
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < 10000; i++) {
        char name[32];
        snprintf(name, sizeof name, "job-%u", i);
        assert_true(queue_metrics_has_series(m, name));
    }
    assert_int_equal(mallinfo2().uordblks, before);
    queue_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_have_their_own_and_keep_it),
        cmocka_unit_test(pinned_names_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
