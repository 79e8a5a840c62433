/* Reading a log's segments one by one, damaged or not, for --check and --repair; start-up uses the reading calls,
 * too. Private to broker/store/log*.c. */
#ifndef SLUICE_BROKER_LOG_WALK_H
#define SLUICE_BROKER_LOG_WALK_H

#include "broker/store/log_parts.h"

/* What a walk found in a segment. */
struct walked {
    uint64_t id;
    uint64_t groups, records, events;
    bool blank;       /* it has no valid header */
    bool sealed;      /* it ends with a table */
    bool torn;        /* something that is no whole group follows the last whole one */
    uint64_t end;     /* the offset behind the last whole group */
    uint32_t damaged; /* damaged places that whole groups follow */
};

/* Callbacks of a walk. Arguments are borrowed for the call; a callback may be NULL. */
struct walk {
    void *context;
    /* Each record of each whole group, in order. `group` and `offset`: where the group's header and the record's are
     * in the segment. */
    void (*record)(void *context, uint64_t segment, uint64_t group, uint64_t offset, const struct record *r);
    /* [from, to) has no whole group; at `to` there is one. */
    void (*damage)(void *context, uint64_t segment, uint64_t from, uint64_t to);
};

/* The ids of the segments in the directory, ascending; the caller frees them. *why: 0 or an errno. */
uint64_t *walk_list(struct files *files, size_t *count, int *why);
/* Replaces the content of `out` by a whole file; 0 or an errno. */
int walk_read(struct files *files, const char *name, struct buf *out);
/* The same for a segment, without the zeros behind its last data, except those that a group could reach into. */
int walk_read_segment(struct files *files, const char *name, struct buf *out);
/* Walks through one segment; 0 or an errno. `l` only serves for its files and its key. */
int walk_segment(struct log *l, uint64_t id, const struct walk *w, struct walked *out);

#endif
