/* Files of a real directory: what is promised of order, content and failures, against the kernel. */
#include "broker/store/files.h"

#include "base/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

struct place {
    char top[64], data[80];
    struct files *files;
};

static struct files *open_at(const char *path, bool only_read)
{
    struct error e = { 0 };
    struct files *f = files_posix_open(path, only_read, &e);
    if (!f)
        fail_msg("%s", e.text);
    return f;
}

static int set_up(void **state)
{
    struct place *p = xcalloc(1, sizeof *p);
    snprintf(p->top, sizeof p->top, "/tmp/sluice-files-XXXXXX");
    assert_non_null(mkdtemp(p->top));
    snprintf(p->data, sizeof p->data, "%s/data", p->top);
    p->files = open_at(p->data, false);
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
    if (p->files)
        p->files->ops->close(p->files);
    nftw(p->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p);
    return 0;
}

static void reopen(struct place *p)
{
    p->files->ops->close(p->files);
    p->files = open_at(p->data, false);
}

/* ---- operations */

static struct file_op *new_op(enum file_kind kind, const char *name, uint64_t offset, uint64_t size)
{
    struct file_op *op = xcalloc(1, sizeof *op);
    op->kind = kind;
    snprintf(op->name, sizeof op->name, "%s", name);
    op->offset = offset;
    op->size = size;
    return op;
}

static struct file_op *new_change(enum file_kind kind, const char *name, uint64_t offset, uint8_t byte, size_t size)
{
    struct file_op *op = new_op(kind, name, offset, 0);
    memset(buf_reserve(&op->data, size), byte, size);
    op->data.size = size;
    return op;
}

static void free_op(struct file_op *op)
{
    buf_free(&op->data);
    free(op);
}

static void submit(struct place *p, struct file_op *op, uint64_t tag)
{
    op->tag = tag;
    p->files->ops->submit(p->files, op);
}

static struct file_op *await_done(struct place *p)
{
    struct pollfd fd = { .fd = p->files->ops->fd(p->files), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    struct file_op *op = p->files->ops->done(p->files);
    assert_non_null(op); /* readable means that there is one */
    return op;
}

/* Submits, waits, frees: the result. */
static int perform(struct place *p, struct file_op *op)
{
    submit(p, op, 0);
    assert_ptr_equal(await_done(p), op);
    int error = op->error;
    free_op(op);
    return error;
}

static int apply(struct place *p, struct file_op *op)
{
    int error = p->files->ops->apply(p->files, op);
    assert_int_equal(error, op->error);
    free_op(op);
    return error;
}

static void assert_content(struct place *p, const char *name, uint64_t offset, uint8_t byte, size_t size)
{
    struct file_op *op = new_op(FILE_READ, name, offset, size);
    submit(p, op, 0);
    assert_ptr_equal(await_done(p), op);
    assert_int_equal(op->error, 0);
    assert_int_equal(op->data.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(op->data.data[i], byte);
    free_op(op);
}

static void add_name(void *context, const char *name, uint64_t size)
{
    buf_printf(context, "%s:%llu ", name, (unsigned long long)size);
}

/* "name:size " of each file, in the directory's order. */
static void assert_names(struct place *p, const char *expected)
{
    struct buf names = { 0 };
    assert_int_equal(p->files->ops->list(p->files, add_name, &names), 0);
    buf_add_byte(&names, 0);
    assert_string_equal((char *)names.data, expected);
    buf_free(&names);
}

/* ---- what is promised */

static void changes_happen_in_order(void **state)
{
    struct place *p = *state;
    submit(p, new_op(FILE_CREATE, "a", 0, 5000), 0);
    for (unsigned i = 1; i <= 200; i++) /* each overwrites most of the one before */
        submit(p, new_change(FILE_WRITE, "a", i, (uint8_t)i, 1000), i);
    submit(p, new_op(FILE_SYNC, "a", 0, 0), 201);
    submit(p, new_op(FILE_REMOVE, "b", 0, 0), 202);
    for (unsigned i = 0; i <= 202; i++) {
        struct file_op *op = await_done(p);
        assert_int_equal(op->tag, i);
        assert_int_equal(op->error, 0);
        free_op(op);
    }
    assert_content(p, "a", 0, 0, 1);
    for (unsigned i = 1; i < 200; i++)
        assert_content(p, "a", i, (uint8_t)i, 1);
    assert_content(p, "a", 200, 200, 1000);
    assert_content(p, "a", 1200, 0, 3800);
}

static void it_is_readable_exactly_while_something_is_done(void **state)
{
    struct place *p = *state;
    struct pollfd fd = { .fd = p->files->ops->fd(p->files), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_null(p->files->ops->done(p->files));
    for (unsigned i = 0; i < 3; i++)
        submit(p, new_op(FILE_REMOVE, "a", 0, 0), i);
    for (unsigned i = 0; i < 3; i++)
        free_op(await_done(p));
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_null(p->files->ops->done(p->files));
}

static void a_created_file_is_allocated_and_reads_as_zeros(void **state)
{
    struct place *p = *state;
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/a", p->data);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 300000)), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 300000);
    assert_true(st.st_blocks * 512 >= 300000);
    assert_int_equal(st.st_mode & 0777 & ~0640u, 0);
    assert_content(p, "a", 0, 0, 300000);
    assert_int_equal(stat(p->data, &st), 0);
    assert_int_equal(st.st_mode & 0777 & ~0750u, 0);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), EEXIST);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "empty", 0, 0)), 0); /* that was no failure that stays */
    assert_content(p, "a", 0, 0, 300000);
}

/* Where the file system cannot tell, all of it counts as data. */
static void data_ends_where_nothing_was_written_behind(void **state)
{
    struct place *p = *state;
    uint64_t data, size;
    char path[160];
    assert_int_equal(apply(p, new_op(FILE_CREATE, "a", 0, 1 << 20)), 0);
    snprintf(path, sizeof path, "%s/a", p->data);
    int fd = open(path, O_RDONLY);
    bool tells = lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
    close(fd);
    assert_int_equal(p->files->ops->extent(p->files, "a", &data, &size), 0);
    assert_int_equal(size, 1 << 20);
    assert_int_equal(data, tells ? 0 : 1 << 20);
    assert_int_equal(apply(p, new_change(FILE_WRITE, "a", 300000, 'a', 1000)), 0);
    assert_int_equal(apply(p, new_change(FILE_WRITE, "a", 0, 'a', 1000)), 0);
    assert_int_equal(p->files->ops->extent(p->files, "a", &data, &size), 0);
    assert_true(data >= 301000 && data <= size && (data < 500000 || !tells));
    assert_content(p, "a", 300999, 'a', 1);
    assert_content(p, "a", data - 1, data == 301000 ? 'a' : 0, 1);
    assert_int_equal(p->files->ops->extent(p->files, "none", &data, &size), ENOENT);
    reopen(p);
    assert_int_equal(p->files->ops->extent(p->files, "a", &data, &size), 0);
    assert_true(size == 1 << 20 && data >= 301000);
}

static void a_read_ends_with_the_file(void **state)
{
    struct place *p = *state;
    assert_int_equal(apply(p, new_op(FILE_CREATE, "a", 0, 100)), 0);
    struct file_op *op = new_op(FILE_READ, "a", 90, 64);
    buf_add_str(&op->data, "left over");
    for (unsigned i = 0; i < 2; i++) { /* at the end, and behind it */
        submit(p, op, 0);
        assert_ptr_equal(await_done(p), op);
        assert_int_equal(op->error, 0);
        assert_int_equal(op->data.size, i ? 0 : 10);
        op->offset = 5000;
    }
    free_op(op);
    uint8_t to[64];
    size_t got = 99;
    assert_int_equal(p->files->ops->read(p->files, "a", 60, to, sizeof to, &got), 0);
    assert_int_equal(got, 40);
    assert_int_equal(p->files->ops->read(p->files, "b", 0, to, sizeof to, &got), ENOENT);
    assert_int_equal(got, 0);
    assert_int_equal(perform(p, new_op(FILE_READ, "b", 0, 10)), ENOENT);
    assert_int_equal(perform(p, new_op(FILE_SYNC, "a", 0, 0)), 0); /* a read that failed stops nothing */
}

static void a_reader_sees_the_old_or_the_new(void **state)
{
    struct place *p = *state;
    enum { SIZE = 20000, ROUNDS = 100 };
    assert_int_equal(apply(p, new_change(FILE_REPLACE, "a", 0, 'x', SIZE)), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        submit(p, new_change(FILE_REPLACE, "a", 0, (uint8_t)i, SIZE), i);
        submit(p, new_op(FILE_READ, "a", 0, SIZE + 1), i);
        submit(p, new_op(FILE_READ, "a", 0, SIZE + 1), i);
    }
    for (unsigned i = 0; i < 3 * ROUNDS; i++) {
        struct file_op *op = await_done(p);
        assert_int_equal(op->error, 0);
        assert_int_equal(op->data.size, SIZE);
        for (size_t k = 1; k < SIZE; k++)
            if (op->data.data[k] != op->data.data[0])
                fail_msg("a mixture of two contents");
        free_op(op);
    }
    assert_content(p, "a", 0, ROUNDS - 1, SIZE);
    assert_names(p, "a:20000 ");
}

static void a_removed_file_is_gone_for_readers_too(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    assert_content(p, "a", 0, 'x', 10); /* now it is held open */
    assert_int_equal(perform(p, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    assert_int_equal(perform(p, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    assert_int_equal(perform(p, new_op(FILE_READ, "a", 0, 10)), ENOENT);
    assert_names(p, "");
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0);
    assert_content(p, "a", 0, 0, 10);
}

static void a_renamed_file_is_found_by_its_new_name_alone(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 5, 'y', 5)), 0); /* now it is held open */
    struct file_op *op = new_op(FILE_RENAME, "a", 0, 0);
    snprintf(op->to, sizeof op->to, "b");
    assert_int_equal(perform(p, op), 0);
    assert_names(p, "b:10 ");
    assert_int_equal(perform(p, new_op(FILE_READ, "a", 0, 10)), ENOENT);
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'z', 3)), 0);
    assert_content(p, "a", 0, 'z', 3);
    assert_content(p, "b", 0, 'x', 5);
    assert_content(p, "b", 5, 'y', 5);
    op = new_op(FILE_RENAME, "a", 0, 0);
    snprintf(op->to, sizeof op->to, "../b");
    assert_int_equal(perform(p, op), EINVAL);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void many_files_need_few_descriptors(void **state)
{
    struct place *p = *state;
    enum { FILES = 60 };
    char name[FILE_NAME_SIZE];
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        assert_int_equal(perform(p, new_op(FILE_CREATE, name, 0, 100)), 0);
        assert_int_equal(perform(p, new_change(FILE_WRITE, name, 0, (uint8_t)i, 100)), 0);
        assert_int_equal(perform(p, new_op(FILE_SYNC, name, 0, 0)), 0);
    }
    assert_true(open_descriptors() <= before + 16);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "file-%u", i);
            assert_content(p, name, 0, (uint8_t)i, 100);
        }
    assert_true(open_descriptors() <= before + 16);
}

/* Else another descriptor would be asked to sync them, which need not hear that a write failed. */
static void what_is_not_synced_stays_open(void **state)
{
    struct place *p = *state;
    enum { FILES = 30 };
    char name[FILE_NAME_SIZE];
    unsigned before = open_descriptors();
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        assert_int_equal(apply(p, new_op(FILE_CREATE, name, 0, 100)), 0);
        assert_int_equal(apply(p, new_change(FILE_WRITE, name, 0, (uint8_t)i, 100)), 0);
    }
    assert_int_equal(open_descriptors(), before + FILES);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        assert_int_equal(apply(p, new_op(FILE_SYNC, name, 0, 0)), 0);
        assert_int_equal(apply(p, new_op(FILE_REMOVE, name, 0, 0)), 0);
    }
    assert_int_equal(open_descriptors(), before);
}

static void what_was_submitted_is_finished_by_closing(void **state)
{
    struct place *p = *state;
    submit(p, new_op(FILE_CREATE, "a", 0, 1000), 0);
    for (unsigned i = 0; i < 100; i++) {
        submit(p, new_change(FILE_WRITE, "a", i * 10, (uint8_t)(i + 1), 10), 0);
        submit(p, new_op(FILE_READ, "a", 0, 1000), 0);
    }
    reopen(p);
    for (unsigned i = 0; i < 100; i++)
        assert_content(p, "a", i * 10, (uint8_t)(i + 1), 10);
}

static void names_that_are_not_the_logs_are_refused(void **state)
{
    struct place *p = *state;
    static const char *const names[] = { "", ".", "..", ".hidden", "lock", "a.new", "x/y", "../a" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(perform(p, new_op(FILE_CREATE, names[i], 0, 10)), EINVAL);
        assert_int_equal(perform(p, new_op(FILE_READ, names[i], 0, 10)), EINVAL);
    }
    struct file_op *op = new_op(FILE_CREATE, "", 0, 10);
    memset(op->name, 'a', sizeof op->name); /* without an end */
    assert_int_equal(perform(p, op), EINVAL);
    assert_names(p, "");
}

static void leftovers_of_a_crash_are_swept(void **state)
{
    struct place *p = *state;
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/a.new", p->data);
    int fd = open(path, O_CREAT | O_WRONLY, 0640);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_names(p, "");
    reopen(p);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0);
    assert_names(p, "a:10 ");
}

/* ---- who may */

/* In a process of its own, as a second broker would be: 0 when it is refused with the sentence. */
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

static void looking_needs_no_lock_and_changes_nothing(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    struct place looker = { .files = open_at(p->data, true) };
    assert_content(&looker, "a", 0, 'x', 10);
    assert_names(&looker, "a:10 ");
    assert_int_equal(perform(&looker, new_change(FILE_WRITE, "a", 0, 'y', 10)), EROFS);
    assert_int_equal(apply(&looker, new_op(FILE_REMOVE, "a", 0, 0)), EROFS);
    assert_int_equal(perform(&looker, new_op(FILE_CREATE, "b", 0, 10)), EROFS);
    looker.files->ops->close(looker.files);
    assert_content(p, "a", 0, 'x', 10);
}

static void who_holds_a_directory_is_told_from_outside(void **state)
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

static void a_directory_that_cannot_be_had_is_named(void **state)
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

static void after_a_failed_write_nothing_is_changed(void **state)
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
        free_op(op);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 0, 'b', 10)), ECANCELED); /* it is no better now */
    assert_int_equal(apply(p, new_op(FILE_CREATE, "b", 0, 10)), ECANCELED);
    assert_content(p, "old", 0, 'o', 10); /* what is there can be read */
    assert_content(p, "a", LIMIT - 100, 'a', 100);
    reopen(p);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "b", 0, 10)), 0);
}

static void writing_to_a_file_that_is_not_there_stops_all(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 0, 'a', 10)), ENOENT);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "b", 0, 10)), ECANCELED);
    assert_names(p, "");
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
    assert_names(&small, "old:1000 ");
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(changes_happen_in_order),
        TEST(it_is_readable_exactly_while_something_is_done),
        TEST(a_created_file_is_allocated_and_reads_as_zeros),
        TEST(data_ends_where_nothing_was_written_behind),
        TEST(a_read_ends_with_the_file),
        TEST(a_reader_sees_the_old_or_the_new),
        TEST(a_removed_file_is_gone_for_readers_too),
        TEST(a_renamed_file_is_found_by_its_new_name_alone),
        TEST(many_files_need_few_descriptors),
        TEST(what_is_not_synced_stays_open),
        TEST(what_was_submitted_is_finished_by_closing),
        TEST(names_that_are_not_the_logs_are_refused),
        TEST(leftovers_of_a_crash_are_swept),
        TEST(a_second_broker_is_kept_out),
        TEST(looking_needs_no_lock_and_changes_nothing),
        TEST(who_holds_a_directory_is_told_from_outside),
        TEST(a_directory_that_cannot_be_had_is_named),
        TEST(signals_are_left_to_the_main_thread),
        TEST(after_a_failed_write_nothing_is_changed),
        TEST(writing_to_a_file_that_is_not_there_stops_all),
        TEST(a_full_disk_refuses_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
