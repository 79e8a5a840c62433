/* The log's directory: its lock, and what failures and a full disk leave in it. */
#include "broker/disk/files_posix.h"
#include "tests/broker/disk/files_place.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- who may */

/* Opens the directory in another process, as a second broker would. Returns 0 when that is refused with the expected
 * error. */
static int try_second(const struct place *p, pid_t holder)
{
    struct error e = { 0 };
    char process[32];
    snprintf(process, sizeof process, "process %ld)", (long)holder);
    if (files_posix_open(p->data, false, &e))
        return 1;
    return strstr(e.text, p->data) && strstr(e.text, process) && strstr(e.text, "another broker") ? 0 : 2;
}

static void a_second_broker_is_kept_out(void **state)
{
    struct place *p = *state;
    pid_t holder = getpid(), child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(try_second(p, holder));
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    reopen(p); /* and let in when the first has gone */
}

static void read_only_takes_no_lock_and_changes_nothing(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    struct place looker = { .files = open_at(p->data, true) };
    assert_content(&looker, "a", 0, 'x', 10);
    assert_names(looker.files, "a:10 ");
    assert_int_equal(perform(&looker, new_change(FILE_WRITE, "a", 0, 'y', 10)), EROFS);
    assert_int_equal(apply(&looker, new_op(FILE_REMOVE, "a", 0, 0)), EROFS);
    assert_int_equal(perform(&looker, new_op(FILE_CREATE, "b", 0, 10)), EROFS);
    looker.files->ops->close(looker.files);
    assert_content(p, "a", 0, 'x', 10);
}

static void the_holder_of_a_directory_is_reported_without_locking(void **state)
{
    struct place *p = *state;
    struct error e = { 0 };
    char process[32];
    snprintf(process, sizeof process, "process %ld)", (long)getpid());
    assert_false(files_posix_is_free(p->data, &e));
    assert_non_null(strstr(e.text, process));
    p->files->ops->close(p->files);
    assert_true(files_posix_is_free(p->data, &e));
    assert_true(files_posix_is_free(p->top, &e)); /* there is no lock */
    p->files = open_at(p->data, false);
}

static void an_unusable_directory_is_named(void **state)
{
    struct place *p = *state;
    struct error e = { 0 };
    struct stat st;
    char path[160];
    snprintf(path, sizeof path, "%s/none", p->top);
    assert_null(files_posix_open(path, true, &e));
    assert_non_null(strstr(e.text, path));
    assert_int_equal(stat(path, &st), -1); /* looking makes no directory */
    snprintf(path, sizeof path, "%s/none/below", p->top);
    assert_null(files_posix_open(path, false, &e));
    assert_non_null(strstr(e.text, path));
    snprintf(path, sizeof path, "%s/lock", p->data); /* a file */
    assert_null(files_posix_open(path, false, &e));
    assert_non_null(strstr(e.text, path));
}

static void signals_are_left_to_the_main_thread(void **state)
{
    struct place *p = *state;
    sigset_t one, before;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0); /* both threads run */
    assert_content(p, "a", 0, 0, 10);
    pthread_sigmask(SIG_BLOCK, &one, &before);
    assert_int_equal(kill(getpid(), SIGUSR1), 0); /* whoever does not block it dies of it */
    assert_int_equal(sigtimedwait(&one, NULL, &(struct timespec){ .tv_sec = 10 }), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- failures */

static void after_a_failed_write_every_change_fails(void **state)
{
    struct place *p = *state;
    enum { LIMIT = 1 << 20 };
    struct rlimit before, limit;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "old", 0, 'o', 10)), 0);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = LIMIT;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    /* The kernel takes the half of it that fits, and refuses the rest. */
    submit(p, new_change(FILE_WRITE, "a", LIMIT - 100, 'a', 200), 0);
    submit(p, new_op(FILE_SYNC, "a", 0, 0), 1);
    submit(p, new_change(FILE_WRITE, "a", 0, 'b', 10), 2);
    submit(p, new_op(FILE_CREATE, "b", 0, 10), 3);
    submit(p, new_change(FILE_REPLACE, "old", 0, 'n', 10), 4);
    submit(p, new_op(FILE_REMOVE, "old", 0, 0), 5);
    for (unsigned i = 0; i <= 5; i++) {
        struct file_op *op = await_done(p);
        assert_int_equal(op->tag, i);
        assert_int_equal(op->error, i ? ECANCELED : EFBIG);
        finish_op(op);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 0, 'b', 10)), ECANCELED); /* it is no better now */
    assert_int_equal(apply(p, new_op(FILE_CREATE, "b", 0, 10)), ECANCELED);
    assert_content(p, "old", 0, 'o', 10); /* what is there can be read */
    assert_content(p, "a", LIMIT - 100, 'a', 100);
    reopen(p);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "b", 0, 10)), 0);
}

static void writing_to_a_missing_file_stops_all_changes(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 0, 'a', 10)), ENOENT);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "b", 0, 10)), ECANCELED);
    assert_names(p->files, "");
}

/* A file system of 1 MiB in a mount namespace of the test's own, which ends with it. */
static bool mount_small(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mkdir(path, 0750) == 0 && mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") == 0;
}

static void a_full_disk_refuses_and_leaves_nothing(void **state)
{
    struct place *p = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/small", p->top);
    if (!mount_small(path)) {
        print_message("skipped: mounting a small file system needs root: %s\n", strerror(errno));
        skip();
    }
    struct place small = { .files = open_at(path, false) };
    const struct files_ops *ops = small.files->ops;
    assert_int_equal(perform(&small, new_change(FILE_REPLACE, "old", 0, 'o', 1000)), 0);
    uint64_t before = ops->room(small.files);
    assert_true(before > 900000 && before < 1 << 20);
    assert_int_equal(perform(&small, new_op(FILE_CREATE, "big", 0, 2 << 20)), ENOSPC);
    assert_int_equal(ops->room(small.files), before);
    assert_int_equal(perform(&small, new_change(FILE_REPLACE, "old", 0, 'n', 2 << 20)), ENOSPC);
    assert_int_equal(ops->room(small.files), before);
    assert_names(small.files, "old:1000 ");
    assert_content(&small, "old", 0, 'o', 1000);
    assert_int_equal(perform(&small, new_op(FILE_CREATE, "a", 0, 600000)), 0); /* service goes on */
    assert_true(ops->room(small.files) <= before - 600000);
    assert_int_equal(perform(&small, new_op(FILE_CREATE, "b", 0, 600000)), ENOSPC);
    assert_int_equal(perform(&small, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    assert_int_equal(perform(&small, new_op(FILE_CREATE, "b", 0, 600000)), 0);         /* and resumes */
    assert_int_equal(perform(&small, new_change(FILE_WRITE, "b", 0, 'b', 600000)), 0); /* into what was allocated */
    assert_int_equal(perform(&small, new_op(FILE_SYNC, "b", 0, 0)), 0);
    ops->close(small.files);
    assert_int_equal(umount(path), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_second_broker_is_kept_out),
        TEST(read_only_takes_no_lock_and_changes_nothing),
        TEST(the_holder_of_a_directory_is_reported_without_locking),
        TEST(an_unusable_directory_is_named),
        TEST(signals_are_left_to_the_main_thread),
        TEST(after_a_failed_write_every_change_fails),
        TEST(writing_to_a_missing_file_stops_all_changes),
        TEST(a_full_disk_refuses_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
