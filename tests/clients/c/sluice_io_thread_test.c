/* On which thread callbacks run where libzmq waits in our function. */
#include "tests/clients/c/seen.h"

#include "base/clock.h"

#include <string.h>

#define PATIENCE_MS 20000

static void note_thread(void *context, int error, uint64_t sequence)
{
    struct seen *w = context;
    pthread_getname_np(pthread_self(), w->data, sizeof w->data);
    seen_confirm(w, error, sequence);
}

/* Does a callback of the connection run on an I/O thread now? */
static bool on_io_thread(struct sluice *s)
{
    struct seen confirms = seen_fresh();
    struct sluice_event e = { .data = "x", .size = 1 };
    assert_int_equal(sluice_publish(s, "orders", &e, 20000, note_thread, &confirms), SLUICE_OK);
    assert_true(seen_wait(&confirms, 1));
    return strstr(confirms.data, "ZMQbg/IO") != NULL;
}

/* The I/O thread may not have come to its first epoll_wait when the connection begins. */
static bool comes_to_io_thread(struct sluice *s)
{
    mono_t end = mono_add_ms(clock_now().mono, PATIENCE_MS);
    while (!on_io_thread(s)) {
        if (!mono_before(clock_now().mono, end))
            return false;
    }
    return true;
}

static void the_first_connection_runs_on_its_io_thread(void **state)
{
    struct sluice *first = seen_connect(state);
    assert_true(comes_to_io_thread(first));
    struct sluice *second = seen_connect(state);
    for (int i = 0; i < 20; i++)
        assert_false(on_io_thread(second));
    assert_true(comes_to_io_thread(first));
    assert_int_equal(sluice_close(second, 20000), SLUICE_OK);
    assert_true(comes_to_io_thread(first));
    assert_int_equal(sluice_close(first, 20000), SLUICE_OK);
}

static void after_it_was_closed_the_next_one_does(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct sluice *s = seen_connect(state);
        assert_true(comes_to_io_thread(s));
        assert_int_equal(sluice_close(s, 20000), SLUICE_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_connection_runs_on_its_io_thread, seen_start, seen_stop),
        cmocka_unit_test_setup_teardown(after_it_was_closed_the_next_one_does, seen_start, seen_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
