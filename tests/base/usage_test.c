/* Resource usage of this process. */
#include "base/usage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct usage usage(void)
{
    struct usage u;
    usage_read(&u);
    return u;
}

static void each_descriptor_counts_once(void **state)
{
    (void)state;
    uint64_t before = usage().open_fds;
    assert_true(before >= 3); /* the standard ones */
    int fd = dup(0);
    assert_int_equal(usage().open_fds, before + 1);
    close(fd);
    assert_int_equal(usage().open_fds, before);
}

static void the_maximum_of_descriptors_is_the_processs_current_limit(void **state)
{
    (void)state;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 77;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(usage().max_fds, 77);
}

static void memory_is_resident_once_it_is_written(void **state)
{
    (void)state;
    const size_t size = 32u << 20;
    uint64_t before = usage().resident_bytes;
    assert_true(before > 100000);
    char *memory = malloc(size);
    memset(memory, 1, size);
    assert_in_range(usage().resident_bytes - before, size / 2, size * 2);
    assert_int_equal(memory[size / 2], 1);
    free(memory);
}

/* The loop ends only if the CPU time grows; otherwise the test times out. */
static void cpu_time_grows_by_work(void **state)
{
    (void)state;
    uint64_t before = usage().cpu_ns;
    assert_true(before > 0);
    while (usage().cpu_ns < before + 2000000)
        continue;
    struct rusage all;
    getrusage(RUSAGE_SELF, &all);
    uint64_t us = (uint64_t)(all.ru_utime.tv_sec + all.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(all.ru_utime.tv_usec + all.ru_stime.tv_usec);
    assert_true(usage().cpu_ns / 1000 >= us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_descriptor_counts_once),
        cmocka_unit_test(the_maximum_of_descriptors_is_the_processs_current_limit),
        cmocka_unit_test(memory_is_resident_once_it_is_written),
        cmocka_unit_test(cpu_time_grows_by_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
