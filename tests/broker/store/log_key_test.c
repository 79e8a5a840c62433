/* The log's secret key: kept in the key file and in every segment's header, so that losing one of them does not lose
 * the key. */
#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct model m;
static uint64_t chance = 7;

static int begin(void **state)
{
    (void)state;
    model_begin(&m, 1, 64u << 10, LOG_SYNC_GROUP);
    model_new_queue(&m);
    for (int i = 0; i < 10; i++) {
        assert_true(model_append(&m, &m.queues[0], 4, 100, false));
        model_turn(&m, 1, UINT64_MAX);
        model_turn(&m, 1, UINT64_MAX);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    model_end(&m);
    return 0;
}

static struct segment_header header_of(const struct disk *d, const char *name)
{
    struct span content;
    struct segment_header h;
    assert_true(disk_content(d, name, &content));
    assert_int_equal(segment_header_read(content, &h), LOG_OK);
    return h;
}

/* A configured key is for a new log only. */
static void a_log_keeps_its_key(void **state)
{
    (void)state;
    struct error e;
    bool torn;
    struct log_config other = m.config;
    other.key[0] ^= 1;
    struct disk *d = dir_copy(m.disk);
    assert_int_equal(dir_open(d, &other, &e, &torn), 40);
    assert_memory_equal(header_of(d, DIR_SECOND).key, m.config.key, LOG_KEY_SIZE);
    disk_free(d);
}

static void without_the_key_file_the_key_is_read_from_a_header(void **state)
{
    (void)state;
    struct error e;
    struct span file;
    bool torn;
    for (int damaged = 0; damaged < 2; damaged++) {
        struct log_config other = m.config;
        other.key[0] ^= 1;
        struct disk *d = dir_copy(m.disk);
        if (damaged)
            assert_true(disk_damage(d, "log.key", 5, 1, &chance));
        else
            dir_remove(d, "log.key");
        assert_int_equal(dir_open(d, &other, &e, &torn), 40);
        assert_memory_equal(header_of(d, DIR_SECOND).key, m.config.key, LOG_KEY_SIZE);
        assert_true(disk_content(d, "log.key", &file)); /* again */
        assert_memory_equal(file.data, m.config.key, LOG_KEY_SIZE);
        disk_free(d);
    }
}

static void without_its_header_a_segment_is_damaged_and_salvaged(void **state)
{
    (void)state;
    struct error e;
    struct lines l;
    bool torn;
    struct disk *d = dir_copy(m.disk), *to = disk_new();
    assert_true(disk_damage(d, DIR_FIRST, 0, SEGMENT_HEADER_SIZE, &chance));
    dir_refuses(d, &m.config, DIR_FIRST ": damaged at offset 0", "--repair");
    assert_false(dir_check(d, &l));
    assert_true(dir_repair(d, to, &l));
    assert_int_equal(dir_open(to, &m.config, &e, &torn), 40);
    disk_free(d);
    disk_free(to);
}

/* Without a key nothing can be verified; the start must not cut the log as if it were torn. */
static void without_key_file_and_headers_the_start_is_refused(void **state)
{
    (void)state;
    struct disk *d = dir_copy(m.disk);
    assert_true(disk_damage(d, DIR_FIRST, 0, SEGMENT_HEADER_SIZE, &chance));
    dir_remove(d, "log.key");
    dir_refuses(d, &m.config, DIR_FIRST ": damaged at offset 0", "--repair");
    disk_free(d);
}

static void a_repaired_log_has_a_key_of_its_own(void **state)
{
    (void)state;
    struct lines l;
    struct disk *to = disk_new();
    struct disk *d = dir_copy(m.disk);
    assert_true(dir_repair(d, to, &l));
    assert_memory_not_equal(header_of(to, DIR_FIRST).key, m.config.key, LOG_KEY_SIZE);
    disk_free(d);
    disk_free(to);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(a_log_keeps_its_key),
        with_log(without_the_key_file_the_key_is_read_from_a_header),
        with_log(without_its_header_a_segment_is_damaged_and_salvaged),
        with_log(without_key_file_and_headers_the_start_is_refused),
        with_log(a_repaired_log_has_a_key_of_its_own),
    };
    return cmocka_run_group_tests_name("log_key", tests, NULL, NULL);
}
