/* Files of a real directory: the promises about order and content, checked against the kernel. */
#include "tests/broker/disk/files_place.h"

#include "base/same_cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

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
        finish_op(op);
    }
    assert_content(p, "a", 0, 0, 1);
    for (unsigned i = 1; i < 200; i++)
        assert_content(p, "a", i, (uint8_t)i, 1);
    assert_content(p, "a", 200, 200, 1000);
    assert_content(p, "a", 1200, 0, 3800);
}

static void a_change_with_more_is_done_before_the_next(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 5000)), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct file_op *write = new_change(FILE_WRITE, "a", i, (uint8_t)i, 1000);
        write->more = true;
        submit(p, write, 2 * i);
        submit(p, new_op(FILE_SYNC, "a", 0, 0), 2 * i + 1);
        for (unsigned k = 0; k < 2; k++) {
            struct file_op *op = await_done(p);
            assert_int_equal(op->tag, 2 * i + k);
            assert_int_equal(op->error, 0);
            finish_op(op);
        }
        assert_content(p, "a", i, (uint8_t)i, 1000);
    }
}

/* True: submit waited for both. False: the thread does them, because it had not gone back to sleep yet. */
static bool write_and_wait(struct place *p, unsigned i)
{
    struct pollfd fd = { .fd = p->files->ops->fd(p->files), .events = POLLIN };
    struct file_op *write = new_change(FILE_WRITE, "a", i, (uint8_t)i, 1000), *sync = new_op(FILE_SYNC, "a", 0, 0);
    write->more = sync->wait = true;
    submit(p, write, 1);
    submit(p, sync, 2);
    bool told = poll(&fd, 1, 0) == 1;
    struct file_op *first = p->files->ops->done(p->files);
    bool waited = !told && first;
    for (uint64_t tag = 1; tag <= 2; tag++) {
        struct file_op *op = first ? first : waited ? p->files->ops->done(p->files) : await_done(p);
        first = NULL;
        assert_int_equal(op->tag, tag);
        assert_true(op->took_ns > 0);
        assert_int_equal(finish_op(op), 0);
    }
    assert_content(p, "a", i, (uint8_t)i, 1000);
    return waited;
}

static void a_sync_with_wait_is_done_by_submit_when_the_thread_sleeps(void **state)
{
    struct place *p = *state;
    unsigned waited = 0;
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 1 << 20)), 0);
    for (unsigned i = 0; i < 10000 && waited < 10; i++)
        waited += write_and_wait(p, i);
    assert_int_equal(waited, 10);
}

static void queued_changes_are_done_before_a_sync_with_wait(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 5000)), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct file_op *sync = new_op(FILE_SYNC, "a", 0, 0);
        sync->wait = true;
        submit(p, new_change(FILE_REPLACE, "b", 0, 'b', 1000), 0);
        submit(p, new_change(FILE_WRITE, "a", i, 'a', 1000), 1);
        submit(p, sync, 2);
        for (uint64_t tag = 0; tag <= 2; tag++) {
            struct file_op *op = p->files->ops->done(p->files);
            op = op ? op : await_done(p);
            assert_int_equal(op->tag, tag);
            assert_int_equal(finish_op(op), 0);
        }
    }
}

/* The broker's loop is restricted to one CPU at times, and threads would inherit that. */
static void its_threads_run_where_the_process_may(void **state)
{
    struct place *p = *state;
    cpu_set_t all, one, found;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int created = perform(p, new_op(FILE_CREATE, "a", 0, 10)), read = perform(p, new_op(FILE_READ, "a", 0, 10));
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(created, 0);
    assert_int_equal(read, 0);
    for (unsigned i = 0; i < 2; i++) {
        int thread = same_cpu_find(i ? "log-reads" : "log-changes");
        assert_true(thread > 0);
        assert_int_equal(sched_getaffinity(thread, sizeof found, &found), 0);
        assert_true(CPU_EQUAL(&found, &all));
    }
}

static void the_descriptor_is_readable_exactly_while_something_is_done(void **state)
{
    struct place *p = *state;
    struct pollfd fd = { .fd = p->files->ops->fd(p->files), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 0), 0);
    assert_null(p->files->ops->done(p->files));
    for (unsigned i = 0; i < 3; i++)
        submit(p, new_op(FILE_REMOVE, "a", 0, 0), i);
    for (unsigned i = 0; i < 3; i++)
        finish_op(await_done(p));
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
    finish_op(op);
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
        finish_op(op);
    }
    assert_content(p, "a", 0, ROUNDS - 1, SIZE);
    assert_names(p->files, "a:20000 ");
}

static void a_removed_file_is_gone_for_readers_too(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    assert_content(p, "a", 0, 'x', 10); /* now it is held open */
    assert_int_equal(perform(p, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    assert_int_equal(perform(p, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    assert_int_equal(perform(p, new_op(FILE_READ, "a", 0, 10)), ENOENT);
    assert_names(p->files, "");
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0);
    assert_content(p, "a", 0, 0, 10);
}

static void a_renamed_file_is_found_by_its_new_name_alone(void **state)
{
    struct place *p = *state;
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    assert_int_equal(perform(p, new_change(FILE_WRITE, "a", 5, 'y', 5)), 0); /* now it is held open */
    assert_int_equal(perform(p, new_rename("a", "b")), 0);
    assert_names(p->files, "b:10 ");
    assert_int_equal(perform(p, new_op(FILE_READ, "a", 0, 10)), ENOENT);
    assert_int_equal(perform(p, new_change(FILE_REPLACE, "a", 0, 'z', 3)), 0);
    assert_content(p, "a", 0, 'z', 3);
    assert_content(p, "b", 0, 'x', 5);
    assert_content(p, "b", 5, 'y', 5);
    assert_int_equal(perform(p, new_rename("a", "../b")), EINVAL);
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

/* Otherwise another descriptor would sync them, which need not be told that write-back failed. */
static void files_with_unsynced_writes_stay_open(void **state)
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

static void close_finishes_what_was_submitted(void **state)
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
    assert_names(p->files, "");
}

static void temporary_files_of_a_crash_are_removed(void **state)
{
    struct place *p = *state;
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/a.new", p->data);
    int fd = open(path, O_CREAT | O_WRONLY, 0640);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_names(p->files, "");
    reopen(p);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(perform(p, new_op(FILE_CREATE, "a", 0, 10)), 0);
    assert_names(p->files, "a:10 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, place_set_up, place_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(changes_happen_in_order),
        TEST(a_change_with_more_is_done_before_the_next),
        TEST(a_sync_with_wait_is_done_by_submit_when_the_thread_sleeps),
        TEST(queued_changes_are_done_before_a_sync_with_wait),
        TEST(its_threads_run_where_the_process_may),
        TEST(the_descriptor_is_readable_exactly_while_something_is_done),
        TEST(a_created_file_is_allocated_and_reads_as_zeros),
        TEST(data_ends_where_nothing_was_written_behind),
        TEST(a_read_ends_with_the_file),
        TEST(a_reader_sees_the_old_or_the_new),
        TEST(a_removed_file_is_gone_for_readers_too),
        TEST(a_renamed_file_is_found_by_its_new_name_alone),
        TEST(many_files_need_few_descriptors),
        TEST(files_with_unsynced_writes_stay_open),
        TEST(close_finishes_what_was_submitted),
        TEST(names_that_are_not_the_logs_are_refused),
        TEST(temporary_files_of_a_crash_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
