/* Shared by the disk's content (disk.c) and the view that a broker has of it (disk_files.c). */
#ifndef SLUICE_SIM_DISK_PRIV_H
#define SLUICE_SIM_DISK_PRIV_H

#include "tests/sim/disk.h"

/* A write since the last sync, oldest first. */
struct disk_write {
    uint64_t offset;
    struct buf data;
    struct disk_write *next;
};

struct disk_file {
    char name[FILE_NAME_SIZE];
    struct buf written, durable;
    struct disk_write *first, **last;
    bool lost;              /* a sync failed: some of what reads return may never become durable */
    struct disk_file *next; /* by name */
};

struct disk_view;

struct disk {
    struct disk_file *files;
    uint64_t capacity;
    uint64_t write_ns, sync_ns;
    bool faults[DISK_FAULTS];
    struct disk_view *view; /* NULL: none is open */
};

uint64_t disk_random(uint64_t *random, uint64_t below);
struct disk_file *disk_find(const struct disk *d, const char *name);
/* Executes an operation now; returns 0 or an errno. `random` decides how short a failing write is. */
int disk_execute(struct disk *d, struct file_op *op, uint64_t *random);
int disk_read(struct disk *d, const char *name, uint64_t offset, void *to, size_t size, size_t *got);
/* Frees all pending and done operations; the view answers ECANCELED from now on. */
void disk_view_cut_off(struct disk_view *v);

#endif
