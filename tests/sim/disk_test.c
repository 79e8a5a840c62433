/* The simulated disk keeps what it must and loses what it may. */
#include "tests/broker/disk/file_ops.h"
#include "tests/sim/disk_priv.h"

#include "base/xalloc.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct bench {
    struct disk *disk;
    struct files *files;
    uint64_t random;
};

static int set_up(void **state)
{
    struct bench *b = xcalloc(1, sizeof *b);
    b->disk = disk_new();
    b->files = disk_open(b->disk);
    b->random = 1;
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    b->files->ops->close(b->files);
    disk_free(b->disk);
    free(b);
    return 0;
}

static void restart(struct bench *b)
{
    b->files->ops->close(b->files);
    b->files = disk_open(b->disk);
}

static void crash(struct bench *b)
{
    disk_crash(b->disk, &b->random);
    restart(b);
}

static void submit(struct bench *b, struct file_op *op, uint64_t tag)
{
    op->tag = tag;
    b->files->ops->submit(b->files, op);
}

static int perform(struct bench *b, struct file_op *op)
{
    submit(b, op, 0);
    disk_settle(b->disk, &b->random);
    assert_ptr_equal(b->files->ops->done(b->files), op);
    return finish_op(op);
}

static int apply(struct files *f, struct file_op *op)
{
    f->ops->apply(f, op);
    return finish_op(op);
}

static void assert_content(struct bench *b, const char *name, uint64_t offset, uint8_t byte, size_t size)
{
    uint8_t *to = xmalloc(size + 1);
    size_t got = 0;
    assert_int_equal(b->files->ops->read(b->files, name, offset, to, size, &got), 0);
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(to[i], byte);
    free(to);
}

/* ---- layers */

static void what_is_synced_survives_every_crash(void **state)
{
    struct bench *b = *state;
    assert_int_equal(perform(b, new_op(FILE_CREATE, "a", 0, 4096)), 0);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 100, (uint8_t)i, 3000)), 0);
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), 0);
        crash(b);
        assert_content(b, "a", 100, (uint8_t)i, 3000);
        assert_content(b, "a", 0, 0, 100);
    }
}

static void names_are_durable_when_they_are_done(void **state)
{
    struct bench *b = *state;
    assert_int_equal(perform(b, new_op(FILE_CREATE, "b", 0, 700)), 0);
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "c", 0, 5)), 0);
    crash(b);
    assert_names(b->files, "a:10 b:700 c:5 ");
    assert_content(b, "a", 0, 'x', 10);
    assert_content(b, "b", 0, 0, 700);
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'y', 20)), 0);
    assert_int_equal(perform(b, new_op(FILE_REMOVE, "b", 0, 0)), 0);
    assert_int_equal(perform(b, new_op(FILE_REMOVE, "b", 0, 0)), 0);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "c", 0, 9)), EEXIST);
    crash(b);
    assert_names(b->files, "a:20 c:5 ");
    assert_content(b, "a", 0, 'y', 20);
    assert_int_equal(perform(b, new_rename("a", "c")), EEXIST);
    assert_int_equal(perform(b, new_rename("b", "d")), ENOENT);
    assert_int_equal(perform(b, new_rename("a", "d")), 0);
    crash(b);
    assert_names(b->files, "c:5 d:20 ");
    assert_content(b, "d", 0, 'y', 20);
}

/* The new name is durable; what was written under the old one is no more durable than before. */
static void a_rename_syncs_nothing(void **state)
{
    struct bench *b = *state;
    unsigned survived = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'o', DISK_SECTOR)), 0);
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'n', DISK_SECTOR)), 0);
        assert_int_equal(perform(b, new_rename("a", "b")), 0);
        assert_content(b, "b", 0, 'n', DISK_SECTOR);
        crash(b);
        uint8_t byte = 0;
        size_t got;
        assert_int_equal(b->files->ops->read(b->files, "b", 0, &byte, 1, &got), 0);
        survived += byte == 'n';
        assert_int_equal(perform(b, new_op(FILE_REMOVE, "b", 0, 0)), 0);
    }
    assert_true(survived > 10 && survived < 90);
}

static void a_failed_rename_leaves_one_of_the_names(void **state)
{
    struct bench *b = *state;
    struct span content;
    unsigned moved = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
        disk_set_fault(b->disk, DISK_RENAME_FAILS, true);
        assert_int_equal(perform(b, new_rename("a", "b")), EIO);
        assert_true(disk_content(b->disk, "a", &content) != disk_content(b->disk, "b", &content));
        moved += disk_content(b->disk, "b", &content);
        assert_int_equal(perform(b, new_op(FILE_REMOVE, "b", 0, 0)), 0);
    }
    assert_true(moved > 10 && moved < 90);
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    disk_set_fault(b->disk, DISK_NO_SPACE, true);
    assert_int_equal(perform(b, new_rename("a", "b")), ENOSPC);
    assert_content(b, "a", 0, 'x', 10);
}

static void a_process_that_dies_loses_only_what_it_had_not_written(void **state)
{
    struct bench *b = *state;
    assert_int_equal(perform(b, new_op(FILE_CREATE, "a", 0, 2000)), 0);
    assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 2000)), 0);
    submit(b, new_change(FILE_WRITE, "a", 0, 'y', 2000), 0);
    disk_kill(b->disk);
    restart(b);
    assert_content(b, "a", 0, 'x', 2000);
    assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), 0); /* the next process can sync it */
    crash(b);
    assert_content(b, "a", 0, 'x', 2000);
}

enum { SECTORS = 8, WRITES = 4 };

/* Write i fills sectors i to i + 4 with i + 1. */
static void write_overlapping(struct bench *b)
{
    assert_int_equal(perform(b, new_op(FILE_CREATE, "a", 0, SECTORS * DISK_SECTOR)), 0);
    for (unsigned i = 0; i < WRITES; i++)
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", i * DISK_SECTOR, (uint8_t)(i + 1), 5 * DISK_SECTOR)),
                         0);
}

/* The value of each sector after a crash, one digit each. */
static void survivors(struct bench *b, char text[SECTORS + 1])
{
    for (unsigned s = 0; s < SECTORS; s++) {
        uint8_t byte = 0;
        size_t got = 0;
        assert_int_equal(b->files->ops->read(b->files, "a", s * DISK_SECTOR, &byte, 1, &got), 0);
        assert_content(b, "a", s * DISK_SECTOR, byte, DISK_SECTOR); /* a sector is never torn */
        int oldest = (int)s - 4, newest = (int)s;                   /* writes that reached it */
        if (byte)
            assert_in_range(byte - 1, oldest < 0 ? 0 : oldest, newest < WRITES ? newest : WRITES - 1);
        text[s] = (char)('0' + byte);
    }
    text[SECTORS] = 0;
}

static void what_is_not_synced_survives_in_any_combination(void **state)
{
    struct bench *b = *state;
    unsigned none = 0, all = 0, hole = 0, combinations = 0;
    bool seen[65536] = { false };
    for (unsigned i = 0; i < 4000; i++) {
        char text[SECTORS + 1];
        write_overlapping(b);
        crash(b);
        survivors(b, text);
        none += strcmp(text, "00000000") == 0;
        all += strcmp(text, "12344444") == 0;
        hole += text[6] == '0' && text[7] == '4'; /* of the last write, the end but not what comes before it */
        unsigned key = 0;
        for (unsigned s = 0; s < SECTORS; s++)
            key = (key * 5 + (unsigned)(text[s] - '0')) & 65535u;
        combinations += !seen[key];
        seen[key] = true;
        assert_int_equal(perform(b, new_op(FILE_REMOVE, "a", 0, 0)), 0);
    }
    assert_true(none > 400 && all > 400);
    assert_true(hole > 100);
    assert_true(combinations > 500);
}

static void a_crash_ends_what_was_on_its_way(void **state)
{
    struct bench *b = *state;
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    submit(b, new_change(FILE_REPLACE, "a", 0, 'y', 10), 1);
    assert_true(disk_step(b->disk, &b->random)); /* executed, but nobody was told */
    submit(b, new_change(FILE_REPLACE, "a", 0, 'z', 10), 2);
    submit(b, new_op(FILE_READ, "a", 0, 10), 3);
    assert_int_equal(disk_pending(b->disk), 2);
    disk_crash(b->disk, &b->random);
    struct files *old = b->files;
    b->files = disk_open(b->disk);
    assert_null(old->ops->done(old));
    struct file_op *op = new_op(FILE_REMOVE, "a", 0, 0); /* the dying broker still submits */
    old->ops->submit(old, op);
    assert_int_equal(disk_pending(b->disk), 0);
    assert_ptr_equal(old->ops->done(old), op);
    assert_int_equal(finish_op(op), ECANCELED);
    assert_int_equal(apply(old, new_op(FILE_REMOVE, "a", 0, 0)), ECANCELED);
    old->ops->close(old);
    assert_content(b, "a", 0, 'y', 10);
}

static void closing_finishes_what_was_submitted(void **state)
{
    struct bench *b = *state;
    submit(b, new_op(FILE_CREATE, "a", 0, 10), 0);
    submit(b, new_change(FILE_WRITE, "a", 0, 'x', 10), 0);
    submit(b, new_op(FILE_READ, "a", 0, 10), 0);
    restart(b);
    assert_content(b, "a", 0, 'x', 10);
}

static void changes_keep_their_order_and_reads_may_overtake(void **state)
{
    struct bench *b = *state;
    unsigned overtook = 0;
    assert_int_equal(perform(b, new_op(FILE_CREATE, "a", 0, 10)), 0);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 10; i++)
            submit(b, new_op(i < 5 ? FILE_SYNC : FILE_READ, "a", 0, 10), i);
        disk_settle(b->disk, &b->random);
        uint64_t change = 0, read = 5;
        for (unsigned i = 0; i < 10; i++) {
            struct file_op *op = b->files->ops->done(b->files);
            overtook += op->kind == FILE_READ && change < 5;
            assert_int_equal(op->tag, op->kind == FILE_READ ? read++ : change++);
            assert_int_equal(finish_op(op), 0);
        }
    }
    assert_true(overtook > 50);
    assert_false(disk_step(b->disk, &b->random));
}

/* ---- faults */

static void a_full_disk_refuses_what_is_new(void **state)
{
    struct bench *b = *state;
    disk_set_capacity(b->disk, 1000);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "a", 0, 600)), 0);
    assert_int_equal(b->files->ops->room(b->files), 400);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "b", 0, 401)), ENOSPC);
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "c", 0, 'x', 300)), 0);
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "c", 0, 'y', 101)), ENOSPC); /* both contents exist at once */
    assert_content(b, "c", 0, 'x', 300);
    assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 600)), 0);
    assert_int_equal(perform(b, new_op(FILE_REMOVE, "c", 0, 0)), 0);
    assert_int_equal(b->files->ops->room(b->files), 400);
    disk_set_fault(b->disk, DISK_NO_SPACE, true);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "b", 0, 1)), ENOSPC);
    assert_int_equal(perform(b, new_op(FILE_CREATE, "b", 0, 1)), 0);
    disk_set_capacity(b->disk, 10);
    assert_int_equal(b->files->ops->room(b->files), 0);
    assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'z', 600)), 0); /* into its own room */
    assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 1, 'z', 600)), ENOSPC);
    assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), ECANCELED);
}

static void after_a_failure_nothing_is_changed(void **state)
{
    static const enum disk_fault faults[] = { DISK_WRITE_FAILS, DISK_WRITE_SHORT, DISK_SYNC_FAILS };
    struct bench *b = *state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'o', 1000)), 0);
        disk_set_fault(b->disk, faults[i], true);
        int first = perform(b, new_change(FILE_WRITE, "a", 0, 'x', 1000));
        assert_int_equal(first, faults[i] == DISK_SYNC_FAILS ? 0 : EIO);
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), first ? ECANCELED : EIO);
        assert_false(disk_fault_is_armed(b->disk, faults[i]));
        assert_int_equal(perform(b, new_op(FILE_CREATE, "b", 0, 1)), ECANCELED);
        assert_int_equal(perform(b, new_op(FILE_REMOVE, "a", 0, 0)), ECANCELED);
        assert_int_equal(perform(b, new_op(FILE_READ, "a", 0, 1000)), 0);
        assert_int_equal(apply(b->files, new_op(FILE_CREATE, "b", 0, 1)), ECANCELED);
        restart(b); /* a new process can write again */
        assert_names(b->files, "a:1000 ");
    }
}

static void a_short_write_leaves_its_beginning(void **state)
{
    struct bench *b = *state;
    bool part = false;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'o', 1000)), 0);
        disk_set_fault(b->disk, DISK_WRITE_SHORT, true);
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 1000)), EIO);
        uint8_t content[1000];
        size_t got = 0, written = 0;
        assert_int_equal(b->files->ops->read(b->files, "a", 0, content, sizeof content, &got), 0);
        while (written < 1000 && content[written] == 'x')
            written++;
        assert_content(b, "a", written, 'o', 1000 - written);
        part |= written > 0 && written < 1000;
        restart(b);
    }
    assert_true(part);
}

/* What could not be synced may have reached the disk or not. */
static void a_failed_sync_decides_nothing(void **state)
{
    struct bench *b = *state;
    unsigned kept = 0, lost = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'o', 100)), 0);
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 100)), 0);
        disk_set_fault(b->disk, DISK_SYNC_FAILS, true);
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), EIO);
        crash(b);
        struct span content;
        assert_true(disk_content(b->disk, "a", &content));
        kept += content.data[0] == 'x';
        lost += content.data[0] == 'o';
    }
    assert_int_equal(kept + lost, 100);
    assert_true(kept > 10 && lost > 10);
}

/* The system has the data in memory and takes it for written; another process that syncs again gets no error. */
static void what_a_failed_sync_lost_is_read_until_the_machine_stops(void **state)
{
    struct bench *b = *state;
    unsigned lost = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'o', 100)), 0);
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 100)), 0);
        disk_set_fault(b->disk, DISK_SYNC_FAILS, true);
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), EIO);
        restart(b);
        assert_content(b, "a", 100, 'x', 0);
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), 0);
        struct span content;
        assert_true(disk_content(b->disk, "a", &content));
        lost += content.data[0] == 'o';
        assert_int_equal(perform(b, new_change(FILE_WRITE, "a", 0, 'x', 50)),
                         0); /* but what is written anew is synced */
        assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), 0);
        crash(b);
        assert_true(disk_content(b->disk, "a", &content));
        assert_true(content.data[49] == 'x');
    }
    assert_true(lost > 10 && lost < 90);
}

static void reads_can_fail(void **state)
{
    struct bench *b = *state;
    uint8_t to[10];
    size_t got;
    assert_int_equal(perform(b, new_change(FILE_REPLACE, "a", 0, 'x', 10)), 0);
    disk_set_fault(b->disk, DISK_READ_FAILS, true);
    assert_int_equal(b->files->ops->read(b->files, "a", 0, to, sizeof to, &got), EIO);
    assert_int_equal(perform(b, new_op(FILE_READ, "a", 0, 10)), 0);
    assert_int_equal(perform(b, new_op(FILE_READ, "none", 0, 10)), ENOENT);
    assert_int_equal(perform(b, new_op(FILE_SYNC, "a", 0, 0)), 0);
}

/* ---- damage */

static void count_names(void *context, const char *name, struct span content)
{
    buf_printf(context, "%s:%zu ", name, content.size);
}

static void damage_is_where_it_was_asked_for(void **state)
{
    struct bench *b = *state;
    disk_put(b->disk, "b", span_str("0123456789"));
    disk_put(b->disk, "a", span_str("old"));
    disk_put(b->disk, "a", span_str(""));
    struct buf names = { 0 };
    disk_each(b->disk, count_names, &names);
    assert_true(span_equal(buf_span(&names), span_str("a:0 b:10 ")));
    buf_free(&names);
    uint64_t before = disk_digest(b->disk);
    assert_true(disk_damage(b->disk, "b", 3, 2, &b->random));
    assert_true(disk_digest(b->disk) != before);
    struct span content;
    assert_true(disk_content(b->disk, "b", &content));
    assert_memory_equal(content.data, "012", 3);
    assert_true(content.data[3] != '3' && content.data[4] != '4');
    assert_memory_equal(content.data + 5, "56789", 5);
    assert_true(disk_damage(b->disk, "b", 9, 100, &b->random));
    assert_false(disk_damage(b->disk, "b", 10, 1, &b->random));
    assert_false(disk_damage(b->disk, "none", 0, 1, &b->random));
    assert_true(disk_truncate(b->disk, "b", 3));
    assert_names(b->files, "a:0 b:3 ");
    assert_true(disk_truncate(b->disk, "b", 5));
    assert_content(b, "b", 3, 0, 2);
    assert_false(disk_truncate(b->disk, "none", 0));
    assert_false(disk_content(b->disk, "none", &content));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_synced_survives_every_crash),
        TEST(names_are_durable_when_they_are_done),
        TEST(a_rename_syncs_nothing),
        TEST(a_failed_rename_leaves_one_of_the_names),
        TEST(a_process_that_dies_loses_only_what_it_had_not_written),
        TEST(what_is_not_synced_survives_in_any_combination),
        TEST(a_crash_ends_what_was_on_its_way),
        TEST(closing_finishes_what_was_submitted),
        TEST(changes_keep_their_order_and_reads_may_overtake),
        TEST(a_full_disk_refuses_what_is_new),
        TEST(after_a_failure_nothing_is_changed),
        TEST(a_short_write_leaves_its_beginning),
        TEST(a_failed_sync_decides_nothing),
        TEST(what_a_failed_sync_lost_is_read_until_the_machine_stops),
        TEST(reads_can_fail),
        TEST(damage_is_where_it_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
