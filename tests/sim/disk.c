#include "tests/sim/disk_priv.h"

#include "base/xalloc.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t disk_random(uint64_t *random, uint64_t below)
{
    uint64_t z = (*random += 0x9e3779b97f4a7c15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return below ? z % below : z;
}

/* ---- files */

struct disk *disk_new(void)
{
    struct disk *d = xcalloc(1, sizeof *d);
    d->capacity = UINT64_MAX;
    return d;
}

/* The link in the list where the file is, or would be inserted. */
static struct disk_file **place_of(struct disk *d, const char *name)
{
    struct disk_file **at = &d->files;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    return at;
}

struct disk_file *disk_find(const struct disk *d, const char *name)
{
    for (struct disk_file *f = d->files; f; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static void resize(struct buf *b, uint64_t size)
{
    if (size > b->size)
        memset(buf_reserve(b, size - b->size), 0, size - b->size);
    b->size = size;
}

static void put(struct buf *b, uint64_t offset, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (offset + size > b->size)
        resize(b, offset + size);
    memcpy(b->data + offset, data, size);
}

static void forget_writes(struct disk_file *f)
{
    struct disk_write *next;
    for (struct disk_write *w = f->first; w; w = next) {
        next = w->next;
        buf_free(&w->data);
        free(w);
    }
    f->first = NULL;
    f->last = &f->first;
}

static void remove_file(struct disk *d, const char *name)
{
    struct disk_file **at = place_of(d, name), *f = *at;
    if (!f || strcmp(f->name, name) != 0)
        return;
    *at = f->next;
    forget_writes(f);
    buf_free(&f->written);
    buf_free(&f->durable);
    free(f);
}

static struct disk_file *new_file(struct disk *d, const char *name)
{
    remove_file(d, name);
    struct disk_file **at = place_of(d, name), *f = xcalloc(1, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    f->last = &f->first;
    f->next = *at;
    *at = f;
    return f;
}

void disk_put(struct disk *d, const char *name, struct span content)
{
    struct disk_file *f = new_file(d, name);
    put(&f->written, 0, content.data, content.size);
    put(&f->durable, 0, content.data, content.size);
}

void disk_free(struct disk *d)
{
    assert(!d->view);
    while (d->files)
        remove_file(d, d->files->name);
    free(d);
}

/* ---- what survives */

static uint64_t sector_of(uint64_t offset)
{
    return offset / DISK_SECTOR;
}

static uint64_t piece_end(uint64_t at, uint64_t end)
{
    uint64_t sector_end = (sector_of(at) + 1) * DISK_SECTOR;
    return sector_end < end ? sector_end : end;
}

/* Which writes survive in which sector. TORN: write `most` is torn, and later ones are gone. */
struct survival {
    enum { NONE, ALL, TORN, MIXED } kind;
    uint64_t seed, most;
};

static bool survives(const struct survival *s, uint64_t write, uint64_t writes, uint64_t sector)
{
    uint64_t chance = s->seed ^ (sector * 0xd6e8feb86659fd93u);
    switch (s->kind) {
    case NONE: return false;
    case ALL: return true;
    case TORN: return write < s->most || (write == s->most && disk_random(&chance, 2));
    case MIXED: return write < disk_random(&chance, writes + 1); /* a sector holds what it held at some moment */
    }
    return false;
}

static void keep_by_chance(struct disk_file *f, uint64_t *random)
{
    uint64_t writes = 0, index = 0;
    for (const struct disk_write *w = f->first; w; w = w->next)
        writes++;
    struct survival s = { .kind = (unsigned)disk_random(random, 4), .seed = disk_random(random, 0) };
    s.most = disk_random(random, writes);
    for (const struct disk_write *w = f->first; w; w = w->next, index++) {
        uint64_t end = w->offset + w->data.size, next;
        for (uint64_t at = w->offset; at < end; at = next) {
            next = piece_end(at, end);
            if (survives(&s, index, writes, sector_of(at)))
                put(&f->durable, at, w->data.data + (at - w->offset), (size_t)(next - at));
        }
    }
}

/* ---- operations */

void disk_set_write_ns(struct disk *d, uint64_t ns)
{
    d->write_ns = ns;
}

void disk_set_sync_ns(struct disk *d, uint64_t ns)
{
    d->sync_ns = ns;
}

void disk_set_capacity(struct disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

uint64_t disk_used(const struct disk *d)
{
    uint64_t bytes = 0;
    for (const struct disk_file *f = d->files; f; f = f->next)
        bytes += f->written.size;
    return bytes;
}

static bool has_room(const struct disk *d, uint64_t more)
{
    uint64_t used = disk_used(d);
    return more == 0 || (used <= d->capacity && more <= d->capacity - used);
}

void disk_set_fault(struct disk *d, enum disk_fault fault, bool armed)
{
    d->faults[fault] = armed;
}

bool disk_fault_is_armed(const struct disk *d, enum disk_fault fault)
{
    return d->faults[fault];
}

static bool strikes(struct disk *d, enum disk_fault fault)
{
    bool armed = d->faults[fault];
    d->faults[fault] = false;
    return armed;
}

static void write_volatile(struct disk_file *f, uint64_t offset, const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    struct disk_write *w = xcalloc(1, sizeof *w);
    w->offset = offset;
    buf_add(&w->data, data, size);
    *f->last = w;
    f->last = &w->next;
    put(&f->written, offset, data, size);
}

static int write_data(struct disk *d, const struct file_op *op, uint64_t *random)
{
    struct disk_file *f = disk_find(d, op->name);
    if (!f)
        return ENOENT;
    if (strikes(d, DISK_WRITE_FAILS))
        return EIO;
    if (strikes(d, DISK_WRITE_SHORT)) {
        write_volatile(f, op->offset, op->data.data, (size_t)disk_random(random, op->data.size + 1));
        return EIO;
    }
    uint64_t end = op->offset + op->data.size;
    if (!has_room(d, op->data.size && end > f->written.size ? end - f->written.size : 0))
        return ENOSPC;
    write_volatile(f, op->offset, op->data.data, op->data.size);
    return 0;
}

static int sync_data(struct disk *d, const struct file_op *op, uint64_t *random)
{
    struct disk_file *f = disk_find(d, op->name);
    if (!f)
        return ENOENT;
    if (strikes(d, DISK_SYNC_FAILS)) { /* the system takes it for written from now on */
        keep_by_chance(f, random);
        forget_writes(f);
        f->lost = true;
        return EIO;
    }
    for (const struct disk_write *w = f->first; w; w = w->next)
        put(&f->durable, w->offset, w->data.data, w->data.size);
    forget_writes(f);
    return 0;
}

static int create(struct disk *d, const struct file_op *op, uint64_t *random)
{
    if (disk_find(d, op->name))
        return EEXIST;
    if (strikes(d, DISK_NO_SPACE) || !has_room(d, op->size))
        return ENOSPC;
    bool fails = strikes(d, DISK_CREATE_FAILS);
    if (fails && disk_random(random, 2))
        return EIO;
    struct disk_file *f = new_file(d, op->name);
    resize(&f->written, op->size);
    resize(&f->durable, op->size);
    return fails ? EIO : 0;
}

static int replace(struct disk *d, const struct file_op *op, uint64_t *random)
{
    if (strikes(d, DISK_NO_SPACE) || !has_room(d, op->data.size))
        return ENOSPC;
    bool fails = strikes(d, DISK_REPLACE_FAILS);
    if (!fails || disk_random(random, 2))
        disk_put(d, op->name, buf_span(&op->data));
    return fails ? EIO : 0;
}

static int remove_one(struct disk *d, const struct file_op *op, uint64_t *random)
{
    if (strikes(d, DISK_REMOVE_NO_SPACE))
        return ENOSPC;
    bool fails = strikes(d, DISK_REMOVE_FAILS);
    if (!fails || disk_random(random, 2))
        remove_file(d, op->name);
    return fails ? EIO : 0;
}

/* Its unsynced writes go with it. */
static void move_file(struct disk *d, const char *name, const char *to)
{
    struct disk_file **at = place_of(d, name), *f = *at;
    *at = f->next;
    snprintf(f->name, sizeof f->name, "%s", to);
    at = place_of(d, to);
    f->next = *at;
    *at = f;
}

static int rename_one(struct disk *d, const struct file_op *op, uint64_t *random)
{
    if (disk_find(d, op->to))
        return EEXIST;
    if (!disk_find(d, op->name))
        return ENOENT;
    if (strikes(d, DISK_NO_SPACE))
        return ENOSPC;
    bool fails = strikes(d, DISK_RENAME_FAILS);
    if (!fails || disk_random(random, 2))
        move_file(d, op->name, op->to);
    return fails ? EIO : 0;
}

int disk_read(struct disk *d, const char *name, uint64_t offset, void *to, size_t size, size_t *got)
{
    const struct disk_file *f = disk_find(d, name);
    *got = 0;
    if (!f)
        return ENOENT;
    if (strikes(d, DISK_READ_FAILS))
        return EIO;
    uint64_t left = offset < f->written.size ? f->written.size - offset : 0;
    *got = left < size ? (size_t)left : size;
    if (*got)
        memcpy(to, f->written.data + offset, *got);
    return 0;
}

static int read_into(struct disk *d, struct file_op *op)
{
    buf_clear(&op->data);
    return disk_read(d, op->name, op->offset, buf_reserve(&op->data, op->size), op->size, &op->data.size);
}

int disk_execute(struct disk *d, struct file_op *op, uint64_t *random)
{
    switch (op->kind) {
    case FILE_WRITE: return write_data(d, op, random);
    case FILE_SYNC: return sync_data(d, op, random);
    case FILE_CREATE: return create(d, op, random);
    case FILE_REPLACE: return replace(d, op, random);
    case FILE_READ: return read_into(d, op);
    case FILE_REMOVE: return remove_one(d, op, random);
    case FILE_RENAME: return rename_one(d, op, random);
    }
    return EINVAL;
}

/* ---- a crash */

static void cut_off(struct disk *d)
{
    if (d->view)
        disk_view_cut_off(d->view);
    d->view = NULL;
}

void disk_crash(struct disk *d, uint64_t *random)
{
    cut_off(d);
    for (struct disk_file *f = d->files; f; f = f->next) {
        if (!f->first && !f->lost)
            continue;
        if (f->first)
            keep_by_chance(f, random);
        forget_writes(f);
        f->lost = false;
        resize(&f->written, 0);
        put(&f->written, 0, f->durable.data, f->durable.size);
    }
}

void disk_kill(struct disk *d)
{
    cut_off(d);
}

/* ---- looking and damaging */

static uint64_t fnv(uint64_t digest, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return digest;
}

uint64_t disk_digest(const struct disk *d)
{
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    for (const struct disk_file *f = d->files; f; f = f->next) {
        uint64_t size = f->durable.size;
        digest = fnv(digest, f->name, strlen(f->name) + 1);
        digest = fnv(digest, &size, sizeof size);
        digest = fnv(digest, f->durable.data, f->durable.size);
    }
    return digest;
}

void disk_each(const struct disk *d, void (*visit)(void *context, const char *name, struct span content), void *context)
{
    for (const struct disk_file *f = d->files; f; f = f->next)
        visit(context, f->name, buf_span(&f->durable));
}

bool disk_content(const struct disk *d, const char *name, struct span *content)
{
    const struct disk_file *f = disk_find(d, name);
    if (f)
        *content = buf_span(&f->durable);
    return f != NULL;
}

bool disk_damage(struct disk *d, const char *name, uint64_t offset, uint64_t size, uint64_t *random)
{
    struct disk_file *f = disk_find(d, name);
    if (!f || size == 0 || offset >= f->durable.size)
        return false;
    uint64_t left = f->durable.size - offset;
    for (uint64_t i = 0; i < (size < left ? size : left); i++) {
        uint8_t flip = (uint8_t)(1 + disk_random(random, 255));
        f->durable.data[offset + i] ^= flip;
        if (offset + i < f->written.size)
            f->written.data[offset + i] ^= flip;
    }
    return true;
}

bool disk_truncate(struct disk *d, const char *name, uint64_t size)
{
    struct disk_file *f = disk_find(d, name);
    if (!f)
        return false;
    forget_writes(f); /* both layers are the same from now on */
    f->lost = false;
    resize(&f->durable, size);
    resize(&f->written, 0);
    put(&f->written, 0, f->durable.data, f->durable.size);
    return true;
}
