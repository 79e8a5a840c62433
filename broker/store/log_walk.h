/* Reading a log's segments one by one, damage or not: for --check and --repair; the start reads them by the same
 * calls. Private to broker/store/log*.c. */
#ifndef SLUICE_BROKER_LOG_WALK_H
#define SLUICE_BROKER_LOG_WALK_H

#include "broker/store/log_parts.h"

struct walked {
    uint64_t id;
    uint64_t groups, records, events;
    bool blank;       /* no header of a segment */
    bool sealed;      /* ends with a table */
    bool torn;        /* behind the last whole group a torn one begins */
    uint64_t end;     /* behind the last whole group */
    uint32_t damaged; /* stretches with whole groups behind them */
};

/* All borrowed for the call; any may be NULL. */
struct walk {
    void *context;
    /* Each record of each whole group, in order; `offset` of its header; `group` of the group's. */
    void (*record)(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *r);
    /* [from, to) holds no whole group, what follows does. */
    void (*damage)(void *context, uint64_t segment, uint64_t from, uint64_t to);
};

/* The segments' ids, ascending; the caller frees. An errno in *why. */
uint64_t *walk_list(struct files *files, size_t *count, int *why);
/* Reads a whole file; 0 or an errno. */
int walk_read(struct files *files, const char *name, struct buf *out);
/* Reads a segment without the zeros behind its last data, but for those that a group may reach into. */
int walk_read_segment(struct files *files, const char *name, struct buf *out);
int walk_segment(struct log *l, uint64_t id, const struct walk *w, struct walked *out);

#endif
