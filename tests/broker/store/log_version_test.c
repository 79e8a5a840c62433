/* Logs of earlier format versions: they are read, and continued in the current version. */
#include "broker/store/log_format.h"
#include "tests/broker/store/log_dirs.h"
#include "tests/broker/store/log_version1.h"
#include "tests/broker/store/log_version2.h"

#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT (64u << 10)

static struct disk *disk;
static struct log_config config;

static void put_segment(struct disk *d, const char *name, const uint8_t *bytes, size_t size)
{
    uint8_t *content = xcalloc(1, SEGMENT);
    memcpy(content, bytes, size);
    disk_put(d, name, span_of(content, SEGMENT));
    free(content);
}

static uint32_t version;

static int begin(uint32_t which)
{
    version = which;
    log_config_defaults(&config);
    config.segment_size = SEGMENT;
    memset(config.key, 'k', sizeof config.key);
    disk = disk_new();
    if (version == 1) {
        put_segment(disk, DIR_FIRST, version1_first, sizeof version1_first);
        put_segment(disk, DIR_SECOND, version1_second, sizeof version1_second);
        disk_put(disk, "checkpoint", span_of(version1_checkpoint, sizeof version1_checkpoint));
        return 0;
    }
    put_segment(disk, DIR_FIRST, version2_first, sizeof version2_first);
    put_segment(disk, DIR_SECOND, version2_second, sizeof version2_second);
    disk_put(disk, "checkpoint", span_of(version2_checkpoint, sizeof version2_checkpoint));
    disk_put(disk, "log.key", span_of(version2_key, sizeof version2_key));
    return 0;
}

static int begin_1(void **state)
{
    (void)state;
    return begin(1);
}

static int begin_2(void **state)
{
    (void)state;
    return begin(2);
}

static int end(void **state)
{
    (void)state;
    disk_free(disk);
    return 0;
}

static uint32_t version_of(const struct disk *d, const char *name)
{
    struct span content;
    struct segment_header h;
    assert_true(disk_content(d, name, &content));
    assert_int_equal(segment_header_read(content, &h), LOG_OK);
    return h.version;
}

static void an_older_log_is_opened_and_continued_in_this_version(void **state)
{
    (void)state;
    struct error e;
    struct lines l;
    bool torn;
    assert_true(dir_check(disk, &l));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dir_open(disk, &config, &e, &torn), 7);
        assert_false(torn);
    }
    assert_int_equal(version_of(disk, DIR_SECOND), version);
    assert_int_equal(version_of(disk, "0000000000000003.log"), LOG_VERSION);
    assert_true(dir_check(disk, &l));
    says(l, "queue 1: 4 events of 36 bytes are live");
    says(l, "queue 2: 3 events of 27 bytes are live");
}

/* Runs turns until a queue's events are loaded. Returns how many there are. */
static size_t load(struct store *log, uint32_t queue)
{
    uint64_t random = 1;
    struct store_completion done;
    size_t count = 0;
    log->ops->load(log, queue, 1, 1u << 20, 1);
    for (int i = 0; i < 8; i++) {
        log->ops->flush(log, (mono_t){ i * MONO_MS });
        disk_settle(disk, &random);
        while (log->ops->poll(log, &done)) {
            assert_int_equal(done.status, STORE_OK);
            count += done.kind == STORE_LOADED ? done.count : 0;
            for (size_t k = 0; done.kind == STORE_LOADED && k < done.count; k++) {
                assert_int_equal(done.events[k].size, 9);
                log->ops->release(log, queue, done.events[k].locator);
            }
        }
    }
    return count;
}

static void its_events_are_read_and_leave(void **state)
{
    (void)state;
    struct error e;
    const struct log_replay nobody = { 0 };
    struct files *files = disk_open(disk);
    struct store *log = log_open(&config, files, &nobody, &e);
    assert_non_null(log);
    assert_true(load(log, 1) > 0);
    assert_true(load(log, 2) > 0);
    log->ops->settle_rest(log, 1, 1, 36, CAUSE_PURGED);
    log->ops->settle_rest(log, 2, 1, 27, CAUSE_PURGED);
    uint64_t random = 1;
    struct store_completion done;
    for (int64_t ms = 0; ms < 5000; ms += 10) {
        log->ops->flush(log, (mono_t){ ms * MONO_MS });
        disk_settle(disk, &random);
        while (log->ops->poll(log, &done)) {
        }
    }
    struct span gone;
    assert_false(disk_content(disk, DIR_FIRST, &gone));
    assert_false(disk_content(disk, DIR_SECOND, &gone));
    log->ops->close(log);
    files->ops->close(files);
}

static void its_torn_tail_is_cut_and_its_damage_is_found(void **state)
{
    (void)state;
    struct error e;
    struct lines l;
    bool torn;
    uint64_t chance = 7;
    struct groups g = dir_groups(disk, DIR_SECOND);
    assert_int_equal(g.count, 2);
    struct disk *torn_disk = dir_copy(disk), *to = disk_new();
    dir_zero_from(torn_disk, DIR_SECOND, g.of[1].end - 4);
    assert_int_equal(dir_open(torn_disk, &config, &e, &torn), 7); /* neither queue 1's fifth nor that 2's first left */
    assert_true(torn);
    assert_true(disk_damage(disk, DIR_SECOND, g.of[0].at + 40, 1, &chance));
    dir_refuses(disk, &config, DIR_SECOND ": damaged at offset 64", "--repair");
    assert_true(dir_repair(disk, to, &l));
    assert_true(dir_check(to, &l));
    disk_free(to);
    disk_free(torn_disk);
}

#define of_both(test)                                                                                                  \
    { #test " (1)", test, begin_1, end, NULL },                                                                        \
    {                                                                                                                  \
#        test " (2)", test, begin_2, end, NULL                                                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        of_both(an_older_log_is_opened_and_continued_in_this_version),
        of_both(its_events_are_read_and_leave),
        of_both(its_torn_tail_is_cut_and_its_damage_is_found),
    };
    return cmocka_run_group_tests_name("log_version", tests, NULL, NULL);
}
