#include "tests/broker/disk/file_ops.h"

#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct file_op *new_op(enum file_kind kind, const char *name, uint64_t offset, uint64_t size)
{
    struct file_op *op = xcalloc(1, sizeof *op);
    op->kind = kind;
    snprintf(op->name, sizeof op->name, "%s", name);
    op->offset = offset;
    op->size = size;
    return op;
}

struct file_op *new_change(enum file_kind kind, const char *name, uint64_t offset, uint8_t byte, size_t size)
{
    struct file_op *op = new_op(kind, name, offset, 0);
    if (size)
        memset(buf_reserve(&op->data, size), byte, size);
    op->data.size = size;
    return op;
}

struct file_op *new_rename(const char *name, const char *to)
{
    struct file_op *op = new_op(FILE_RENAME, name, 0, 0);
    snprintf(op->to, sizeof op->to, "%s", to);
    return op;
}

int finish_op(struct file_op *op)
{
    int error = op->error;
    buf_free(&op->data);
    free(op);
    return error;
}

static void add_name(void *context, const char *name, uint64_t size)
{
    buf_printf(context, "%s:%llu ", name, (unsigned long long)size);
}

void assert_names(struct files *files, const char *expected)
{
    struct buf names = { 0 };
    assert_int_equal(files->ops->list(files, add_name, &names), 0);
    buf_add_byte(&names, 0);
    assert_string_equal((char *)names.data, expected);
    buf_free(&names);
}
