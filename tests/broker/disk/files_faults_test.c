/* Every system call of the log's files fails once, in every way that matters: the test stands between them and the C
 * library. Every failure is reported, leaves no half-made file, and stops what must be stopped. */
#include "broker/store/files.h"
#include "tests/broker/disk/system_calls.h"

#include "base/xalloc.h"
#include "broker/disk/files_posix.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the directory */

struct place {
    char top[64];
    struct files *files;
};

static int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    struct error e = { 0 };
    snprintf(p->top, sizeof p->top, "/tmp/sluice-faults-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    p->files = files_posix_open(p->top, false, &e);
    assert_non_null(p->files);
    *state = p;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static int tear_down(void **state)
{
    struct place *p = *state;
    disarm();
    p->files->ops->close(p->files);
    nftw(p->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p);
    return 0;
}

static void restart(struct place *p)
{
    struct error e = { 0 };
    p->files->ops->close(p->files);
    p->files = files_posix_open(p->top, false, &e);
    assert_non_null(p->files);
}

static int change(struct place *p, enum file_kind kind, const char *name, uint8_t byte, size_t size)
{
    struct file_op op = { .kind = kind, .size = size };
    snprintf(op.name, sizeof op.name, "%s", name);
    snprintf(op.to, sizeof op.to, "renamed");
    if (kind == FILE_WRITE || kind == FILE_REPLACE) {
        memset(buf_reserve(&op.data, size), byte, size);
        op.data.size = size;
    }
    int error = p->files->ops->apply(p->files, &op);
    buf_free(&op.data);
    return error;
}

/* The file holds `size` times `byte`, and nothing else. */
static bool holds(struct place *p, const char *name, uint8_t byte, size_t size)
{
    uint8_t content[200000];
    size_t got = 0;
    if (p->files->ops->read(p->files, name, 0, content, sizeof content, &got) != 0 || got != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (content[i] != byte)
            return false;
    return true;
}

static bool exists(struct place *p, const char *name)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", p->top, name);
    return stat(path, &st) == 0;
}

/* ---- each call, for each change */

enum { SIZE = 150000 };

static const int errors[] = { EIO, ENOSPC, EDQUOT };

static void interrupted_and_short_calls_are_continued(void **state)
{
    struct place *p = *state;
    static const struct {
        enum call call;
        int error;
    } nuisances[] = { { PWRITE, EINTR }, { PWRITE, -1 },       { PREAD, EINTR },     { PREAD, -1 },
                      { FSYNC, EINTR },  { FDATASYNC, EINTR }, { FALLOCATE, EINTR }, { CLOSE, EINTR } };
    for (size_t i = 0; i < sizeof nuisances / sizeof *nuisances; i++) {
        arm(nuisances[i].call, 0, nuisances[i].error);
        assert_int_equal(change(p, FILE_CREATE, "a", 0, SIZE), 0);
        assert_int_equal(change(p, FILE_REPLACE, "b", 'b', SIZE), 0);
        assert_int_equal(change(p, FILE_WRITE, "a", 'a', SIZE), 0);
        assert_int_equal(change(p, FILE_SYNC, "a", 0, 0), 0);
        assert_true(holds(p, "a", 'a', SIZE));
        assert_true(holds(p, "b", 'b', SIZE));
        assert_int_equal(change(p, FILE_REMOVE, "a", 0, 0), 0);
        assert_int_equal(change(p, FILE_REMOVE, "b", 0, 0), 0);
        assert_true(disarm());
    }
}

static void assert_calls(struct place *p, enum file_kind kind, const char *name, const char *expected)
{
    fault_trace_clear();
    assert_int_equal(change(p, kind, name, 'x', 1000), 0);
    assert_string_equal(fault_trace(), expected);
}

/* Otherwise a crash could leave a name that leads to an empty file. */
static void content_is_synced_before_its_name_and_the_name_before_completion(void **state)
{
    struct place *p = *state;
    assert_calls(p, FILE_CREATE, "a", "create allocate sync close rename sync-dir ");
    assert_calls(p, FILE_WRITE, "a", "open write ");
    assert_calls(p, FILE_SYNC, "a", "datasync ");
    assert_calls(p, FILE_REPLACE, "a", "create write sync close rename close sync-dir "); /* the old one was open */
    assert_calls(p, FILE_REMOVE, "a", "unlink sync-dir ");
    assert_int_equal(change(p, FILE_CREATE, "a", 0, SIZE), 0);
    assert_calls(p, FILE_WRITE, "a", "open write ");
    assert_calls(p, FILE_RENAME, "a", "close rename sync-dir ");
}

/* Lets the nth of each call fail, for n from 1 until there is no nth call, in a change that makes `name` from nothing
 * (FILE_CREATE) or replaces it. A lack of room leaves the old content; after any other failure it is the old or the
 * new content, whole. Returns how many failures there were. */
static unsigned fail_everywhere(struct place *p, enum file_kind kind, const char *name, enum call from, enum call to)
{
    unsigned failures = 0, told_as_it_is = 0;
    for (enum call call = from; call <= to; call++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
            for (unsigned n = 0;; n++) {
                assert_int_equal(change(p, FILE_REMOVE, name, 0, 0), 0);
                if (kind == FILE_REPLACE)
                    assert_int_equal(change(p, FILE_REPLACE, name, 'o', 100), 0);
                arm(call, n, errors[e]);
                int error = change(p, kind, name, 'n', SIZE);
                bool struck = disarm();
                assert_true(struck ? error == errors[e] || error == EIO : error == 0);
                bool old = kind == FILE_CREATE ? !exists(p, name) : holds(p, name, 'o', 100);
                bool new = holds(p, name, kind == FILE_CREATE ? 0 : 'n', SIZE);
                assert_true(error == EIO ? old || new : error ? old : new);
                told_as_it_is += error == errors[e] && error != EIO;
                assert_false(exists(p, "a.new"));
                if (!struck)
                    break;
                failures++;
            }
    assert_true(told_as_it_is >= 8);
    return failures;
}

static void making_a_file_fails_whole(void **state)
{
    struct place *p = *state;
    assert_true(fail_everywhere(p, FILE_CREATE, "a", PWRITE, CLOSE) >=
                15); /* create, allocate, sync, close, rename, sync */
}

static void replacing_a_file_fails_whole(void **state)
{
    struct place *p = *state;
    assert_true(fail_everywhere(p, FILE_REPLACE, "a", PWRITE, CLOSE) >= 15);
}

static void without_fallocate_zeros_are_written(void **state)
{
    struct place *p = *state;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/a", p->top);
    arm(FALLOCATE, 0, EOPNOTSUPP);
    assert_int_equal(change(p, FILE_CREATE, "a", 0, SIZE), 0);
    assert_true(disarm());
    assert_true(holds(p, "a", 0, SIZE));
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= SIZE);
}

static void a_failed_write_or_sync_is_the_end(void **state)
{
    struct place *p = *state;
    static const enum call calls[] = { PWRITE, FDATASYNC, OPEN };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            assert_int_equal(change(p, FILE_REPLACE, "a", 'o', SIZE), 0);
            arm(calls[c], 0, errors[e]);
            int first = change(p, FILE_WRITE, "a", 'x', SIZE), second = change(p, FILE_SYNC, "a", 0, 0);
            assert_true(disarm());
            assert_int_equal(first, calls[c] == FDATASYNC ? 0 : errors[e]);
            assert_int_equal(second, calls[c] == FDATASYNC ? errors[e] : ECANCELED);
            assert_int_equal(change(p, FILE_SYNC, "a", 0, 0), ECANCELED); /* a second sync would lie */
            assert_int_equal(change(p, FILE_CREATE, "b", 0, 10), ECANCELED);
            restart(p);
        }
}

static void a_failed_removal_is_reported(void **state)
{
    struct place *p = *state;
    static const enum call calls[] = { UNLINK, SYNC_DIRECTORY, CLOSE };
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        assert_int_equal(change(p, FILE_REPLACE, "a", 'o', SIZE), 0);
        assert_true(holds(p, "a", 'o', SIZE)); /* and is open */
        arm(calls[c], 0, EIO);
        assert_int_equal(change(p, FILE_REMOVE, "a", 0, 0), EIO);
        assert_true(disarm());
        assert_int_equal(change(p, FILE_REMOVE, "a", 0, 0), 0);
        assert_false(exists(p, "a"));
    }
}

/* An error that is a lack of room promises that the file is still there. */
static void a_removed_file_is_never_reported_as_a_lack_of_room(void **state)
{
    struct place *p = *state;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        assert_int_equal(change(p, FILE_REPLACE, "a", 'o', SIZE), 0);
        arm(UNLINK, 0, errors[e]);
        assert_int_equal(change(p, FILE_REMOVE, "a", 0, 0), errors[e]);
        assert_true(disarm());
        assert_true(holds(p, "a", 'o', SIZE));
        arm(SYNC_DIRECTORY, 0, errors[e]);
        assert_int_equal(change(p, FILE_REMOVE, "a", 0, 0), EIO);
        assert_true(disarm());
        assert_false(exists(p, "a"));
    }
}

static void a_failed_renaming_is_reported(void **state)
{
    struct place *p = *state;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
        assert_int_equal(change(p, FILE_REPLACE, "a", 'o', SIZE), 0);
        arm(RENAME, 0, errors[e]);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), errors[e]);
        assert_true(disarm());
        assert_true(holds(p, "a", 'o', SIZE));
        arm(SYNC_DIRECTORY, 0, errors[e]);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), EIO); /* which name it has after a crash is not known */
        assert_true(disarm());
        assert_true(holds(p, "renamed", 'o', SIZE));
        assert_int_equal(change(p, FILE_REPLACE, "a", 'n', 10), 0);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), EEXIST);
        assert_int_equal(change(p, FILE_REMOVE, "renamed", 0, 0), 0);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), 0);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), EEXIST);
        assert_int_equal(change(p, FILE_REMOVE, "renamed", 0, 0), 0);
        assert_int_equal(change(p, FILE_RENAME, "a", 0, 0), ENOENT);
    }
}

static void a_failed_read_is_reported_and_stops_nothing(void **state)
{
    struct place *p = *state;
    uint8_t to[10];
    size_t got = 0;
    assert_int_equal(change(p, FILE_REPLACE, "a", 'o', 10), 0);
    arm(PREAD, 0, EIO);
    assert_int_equal(p->files->ops->read(p->files, "a", 0, to, sizeof to, &got), EIO);
    assert_true(disarm());
    assert_true(holds(p, "a", 'o', 10));
    assert_int_equal(change(p, FILE_WRITE, "a", 'n', 10), 0);
}

/* A temporary file that could not be removed takes room until the next start: that is more than a lack of room. */
static void a_temporary_file_that_cannot_be_removed_is_a_failing_disk(void **state)
{
    struct place *p = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/a.new", p->top);
    assert_int_equal(mkdir(path, 0750), 0); /* cannot be opened for writing, nor unlinked */
    assert_int_not_equal(change(p, FILE_CREATE, "a", 0, 10), 0);
    assert_false(exists(p, "a"));
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(change(p, FILE_CREATE, "a", 0, 10), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(interrupted_and_short_calls_are_continued),
        TEST(content_is_synced_before_its_name_and_the_name_before_completion),
        TEST(making_a_file_fails_whole),
        TEST(replacing_a_file_fails_whole),
        TEST(without_fallocate_zeros_are_written),
        TEST(a_failed_write_or_sync_is_the_end),
        TEST(a_failed_removal_is_reported),
        TEST(a_removed_file_is_never_reported_as_a_lack_of_room),
        TEST(a_failed_renaming_is_reported),
        TEST(a_failed_read_is_reported_and_stops_nothing),
        TEST(a_temporary_file_that_cannot_be_removed_is_a_failing_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
