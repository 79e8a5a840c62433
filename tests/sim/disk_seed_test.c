/* The simulated disk under random changes: the same seed gives the same disk, and a real directory behaves like it. */
#include "broker/disk/files_posix.h"
#include "tests/broker/disk/file_ops.h"
#include "tests/sim/disk_priv.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct file_op *random_op(uint64_t *random)
{
    char name[2] = { (char)('a' + disk_random(random, 4)), 0 };
    uint64_t offset = disk_random(random, 3000), size = disk_random(random, 2000);
    uint8_t byte = (uint8_t)disk_random(random, 256);
    switch (disk_random(random, 9)) {
    case 0: return new_op(FILE_CREATE, name, 0, size);
    case 1: return new_op(FILE_REMOVE, name, 0, 0);
    case 2: return new_change(FILE_REPLACE, name, 0, byte, size);
    case 3: return new_op(FILE_SYNC, name, 0, 0);
    case 4: return new_op(FILE_READ, name, offset, size);
    case 5: return new_rename(name, (char[2]){ (char)('a' + disk_random(random, 4)), 0 });
    default: return new_change(FILE_WRITE, name, offset, byte, size);
    }
}

static uint64_t live_a_life(uint64_t seed)
{
    uint64_t random = seed;
    struct disk *d = disk_new();
    struct files *f = disk_open(d);
    struct file_op *op;
    for (unsigned i = 0; i < 400; i++) {
        f->ops->submit(f, random_op(&random));
        while (disk_random(&random, 2))
            disk_step(d, &random);
        while ((op = f->ops->done(f)) != NULL)
            finish_op(op);
        if (disk_random(&random, 40))
            continue;
        disk_crash(d, &random);
        f->ops->close(f);
        f = disk_open(d);
    }
    f->ops->close(f);
    uint64_t digest = disk_digest(d);
    disk_free(d);
    return digest;
}

static void a_seed_gives_the_same_disk(void **state)
{
    (void)state;
    uint64_t before = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t digest = live_a_life(seed);
        assert_true(digest == live_a_life(seed));
        assert_true(digest != before);
        before = digest;
    }
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static struct file_op *copy_of(const struct file_op *op)
{
    struct file_op *copy = new_op(op->kind, op->name, op->offset, op->size);
    memcpy(copy->to, op->to, sizeof copy->to);
    buf_add(&copy->data, op->data.data, op->data.size);
    return copy;
}

static int apply(struct files *f, struct file_op *op)
{
    f->ops->apply(f, op);
    return finish_op(op);
}

static void compare_reads(struct files *simulated, struct files *real, const struct file_op *op)
{
    uint8_t here[5001] = { 0 }, there[5001] = { 0 };
    size_t got = 1, real_got = 2;
    int error = simulated->ops->read(simulated, op->name, op->offset, here, op->size, &got);
    assert_int_equal(error, real->ops->read(real, op->name, op->offset, there, op->size, &real_got));
    assert_int_equal(got, real_got);
    assert_memory_equal(here, there, sizeof here);
}

static void a_real_directory_agrees(void **state)
{
    (void)state;
    uint64_t random = 1;
    struct disk *disk = disk_new();
    struct files *simulated = disk_open(disk);
    struct error e;
    char top[] = "/tmp/sluice-disk-XXXXXX";
    unsigned compared = 0, failures = 0;
    assert_non_null(mkdtemp(top));
    struct files *real = files_posix_open(top, false, &e);
    assert_non_null(real);
    for (unsigned i = 0; i < 1500; i++) {
        struct file_op *op = random_op(&random);
        if (op->kind == FILE_READ) {
            compare_reads(simulated, real, op);
            compared++;
            finish_op(op);
            continue;
        }
        int here = apply(simulated, copy_of(op)), there = apply(real, op);
        assert_int_equal(here, there);
        if (here != ECANCELED)
            continue;
        failures++;
        simulated->ops->close(simulated);
        simulated = disk_open(disk);
        real->ops->close(real);
        real = files_posix_open(top, false, &e);
        assert_non_null(real);
    }
    for (char name[] = "a"; name[0] <= 'd'; name[0]++) {
        struct file_op whole = { .offset = 0, .size = 5001 };
        memcpy(whole.name, name, sizeof name);
        compare_reads(simulated, real, &whole);
    }
    assert_true(compared > 100 && failures > 5);
    real->ops->close(real);
    simulated->ops->close(simulated);
    disk_free(disk);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_disk),
        cmocka_unit_test(a_real_directory_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
