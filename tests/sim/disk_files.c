/* The view that a broker has of the simulated disk: struct files over disk.c. */
#include "tests/sim/disk_priv.h"

#include "base/xalloc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct queue {
    struct file_op *first, **last;
    size_t count;
};

struct disk_view {
    struct files base;
    struct disk *disk; /* NULL: cut off */
    struct queue changes, reads, done;
    bool broken; /* a write or sync failed */
};

static struct disk_view *self(const struct files *f)
{
    return (struct disk_view *)(uintptr_t)f;
}

static void push(struct queue *q, struct file_op *op)
{
    op->next = NULL;
    *(q->first ? q->last : &q->first) = op;
    q->last = &op->next;
    q->count++;
}

static struct file_op *pop(struct queue *q)
{
    struct file_op *op = q->first;
    if (op) {
        q->first = op->next;
        q->count--;
    }
    return op;
}

static void free_all(struct queue *q)
{
    struct file_op *op;
    while ((op = pop(q)) != NULL) {
        buf_free(&op->data);
        free(op);
    }
}

void disk_view_cut_off(struct disk_view *v)
{
    v->disk = NULL;
    free_all(&v->changes);
    free_all(&v->reads);
    free_all(&v->done);
}

/* ---- executing */

static int execute(struct disk_view *v, struct file_op *op, uint64_t *random)
{
    if (op->kind != FILE_READ && v->broken)
        return op->error = ECANCELED;
    op->error = disk_execute(v->disk, op, random);
    op->took_ns = op->kind == FILE_SYNC ? v->disk->sync_ns : op->kind == FILE_WRITE ? v->disk->write_ns : 0;
    if (op->error && (op->kind == FILE_WRITE || op->kind == FILE_SYNC))
        v->broken = true;
    return op->error;
}

static bool step(struct disk_view *v, uint64_t *random)
{
    bool read = v->reads.first && (!v->changes.first || disk_random(random, 2));
    struct file_op *op = pop(read ? &v->reads : &v->changes);
    if (!op)
        return false;
    execute(v, op, random);
    push(&v->done, op);
    return true;
}

size_t disk_pending(const struct disk *d)
{
    return d->view ? d->view->changes.count + d->view->reads.count : 0;
}

bool disk_step(struct disk *d, uint64_t *random)
{
    return d->view && step(d->view, random);
}

void disk_settle(struct disk *d, uint64_t *random)
{
    while (disk_step(d, random)) {
    }
}

/* Executes the changes while the submitter waits, if there are no others than `sync` and the write before it. */
static void do_alone(struct disk_view *v, const struct file_op *sync)
{
    const struct file_op *first = v->changes.first;
    uint64_t random = 0;
    struct file_op *op;
    if (first != sync && (first->kind != FILE_WRITE || first->next != sync))
        return;
    while ((op = pop(&v->changes)) != NULL) {
        execute(v, op, &random);
        push(&v->done, op);
    }
}

/* ---- the slots */

static void submit(struct files *f, struct file_op *op)
{
    struct disk_view *v = self(f);
    op->error = v->disk ? 0 : ECANCELED;
    push(!v->disk ? &v->done : op->kind == FILE_READ ? &v->reads : &v->changes, op);
    if (v->disk && op->wait)
        do_alone(v, op);
}

static struct file_op *done(struct files *f)
{
    return pop(&self(f)->done);
}

static int no_fd(const struct files *f)
{
    (void)f;
    return -1;
}

static uint64_t room(const struct files *f)
{
    const struct disk *d = self(f)->disk;
    if (!d)
        return 0;
    uint64_t used = disk_used(d);
    return used < d->capacity ? d->capacity - used : 0;
}

static int list(struct files *f, void (*visit)(void *context, const char *name, uint64_t size), void *context)
{
    const struct disk *d = self(f)->disk;
    if (!d)
        return ECANCELED;
    for (const struct disk_file *one = d->files; one; one = one->next)
        visit(context, one->name, one->written.size);
    return 0;
}

static int read_now(struct files *f, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    *got = 0;
    return self(f)->disk ? disk_read(self(f)->disk, name, offset, to, size, got) : ECANCELED;
}

/* Everything behind the last byte that is not zero counts as a hole. */
static int extent(struct files *f, const char *name, uint64_t *data, uint64_t *size)
{
    const struct disk_file *one = self(f)->disk ? disk_find(self(f)->disk, name) : NULL;
    if (!one)
        return self(f)->disk ? ENOENT : ECANCELED;
    *data = *size = one->written.size;
    while (*data && one->written.data[*data - 1] == 0)
        --*data;
    return 0;
}

static int apply(struct files *f, struct file_op *op)
{
    struct disk_view *v = self(f);
    uint64_t random = 0;
    assert(v->changes.count + v->reads.count == 0);
    if (op->kind == FILE_READ)
        return op->error = EINVAL;
    return v->disk ? execute(v, op, &random) : (op->error = ECANCELED);
}

static void close_view(struct files *f)
{
    struct disk_view *v = self(f);
    uint64_t random = 0;
    while (v->disk && step(v, &random)) {
    }
    if (v->disk)
        v->disk->view = NULL;
    free_all(&v->done);
    free(v);
}

struct files *disk_open(struct disk *d)
{
    static const struct files_ops ops = {
        .submit = submit,
        .done = done,
        .fd = no_fd,
        .room = room,
        .list = list,
        .read = read_now,
        .extent = extent,
        .apply = apply,
        .close = close_view,
    };
    assert(!d->view);
    struct disk_view *v = xcalloc(1, sizeof *v);
    v->base.ops = &ops;
    v->disk = d;
    d->view = v;
    return &v->base;
}
