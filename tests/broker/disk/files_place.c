#include "tests/broker/disk/files_place.h"

#include "base/xalloc.h"
#include "broker/disk/files_posix.h"

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

struct files *open_at(const char *path, bool read_only)
{
    struct error e = { 0 };
    struct files *f = files_posix_open(path, read_only, &e);
    if (!f)
        fail_msg("%s", e.text);
    return f;
}

int place_set_up(void **state)
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

int place_tear_down(void **state)
{
    struct place *p = *state;
    if (p->files)
        p->files->ops->close(p->files);
    nftw(p->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p);
    return 0;
}

void reopen(struct place *p)
{
    p->files->ops->close(p->files);
    p->files = open_at(p->data, false);
}

void submit(struct place *p, struct file_op *op, uint64_t tag)
{
    op->tag = tag;
    p->files->ops->submit(p->files, op);
}

struct file_op *await_done(struct place *p)
{
    struct pollfd fd = { .fd = p->files->ops->fd(p->files), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    struct file_op *op = p->files->ops->done(p->files);
    assert_non_null(op); /* readable means that there is one */
    return op;
}

int perform(struct place *p, struct file_op *op)
{
    submit(p, op, 0);
    assert_ptr_equal(await_done(p), op);
    return finish_op(op);
}

int apply(struct place *p, struct file_op *op)
{
    int error = p->files->ops->apply(p->files, op);
    assert_int_equal(error, op->error);
    return finish_op(op);
}

void assert_content(struct place *p, const char *name, uint64_t offset, uint8_t byte, size_t size)
{
    struct file_op *op = new_op(FILE_READ, name, offset, size);
    submit(p, op, 0);
    assert_ptr_equal(await_done(p), op);
    assert_int_equal(op->error, 0);
    assert_int_equal(op->data.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(op->data.data[i], byte);
    finish_op(op);
}
