/* The codec of the log's bytes: segments and groups (log_format.c), records (log_records.c, log_records_shared.c,
 * log_table.c). Pure: bytes to structs and back. Format and rules: docs/log-format.md.
 *
 *   segment  = header (64 B), groups, zeros, what the file's earlier use left behind
 *   group    = header (44 B), records; written and synced as one
 *   record   = header (16 B) with type, version, size and its own checksum, payload
 *
 * A group's checksum covers the previous group's checksum, and is made with the log's secret key: publishers choose
 * bytes that are stored in the log, and recovery must not take any of these for a group when it searches for one.
 *
 * Numbers in headers are little-endian, numbers in payloads varints. To change a record's payload, raise its version
 * and keep reading the version before. A new record type or a changed header needs a new LOG_VERSION, which an older
 * broker refuses by name. */
#ifndef SLUICE_BROKER_LOG_FORMAT_H
#define SLUICE_BROKER_LOG_FORMAT_H

#include "broker/store/ranges.h"
#include "broker/store/store.h"
#include "proto/wire.h"

#define LOG_VERSION         3u
#define SEGMENT_HEADER_SIZE 64u
#define SEGMENT_KEY_SIZE    16u
#define GROUP_HEADER_SIZE   44u /* in segments of LOG_VERSION, the only version that is written */
#define RECORD_HEADER_SIZE  16u

enum record_type {
    RECORD_EVENTS = 1, /* a run that a queue accepted */
    RECORD_MOVED,      /* a run copied out of a segment that is to be freed */
    RECORD_SETTLED,    /* events that left a queue */
    RECORD_NOTE,       /* opaque bytes of the core */
    RECORD_TABLE,      /* the last record of a sealed segment: where each queue's runs are */
    RECORD_FORGOTTEN,  /* a queue was deleted; payload: its id as a varint */
    RECORD_SHARED = 8, /* a run that several queues have, accepted or moved, stored once */
};

/* What a reader found: something invalid, the end, or the next item. */
enum log_status { LOG_BAD = -1, LOG_END = 0, LOG_OK = 1 };

/* ---- segments */

struct segment_header {
    uint32_t version;
    uint64_t id;
    uint64_t chain;                /* of the group before the segment's first */
    uint8_t key[SEGMENT_KEY_SIZE]; /* the log's secret; zeros in version 1 */
};
void segment_header_write(uint8_t out[SEGMENT_HEADER_SIZE], const struct segment_header *h);
/* LOG_END: all zeros, so never written. LOG_BAD: anything else that is not a header. A newer version than LOG_VERSION
 * is LOG_OK, too: the caller checks it. */
enum log_status segment_header_read(struct span bytes, struct segment_header *h);

/* ---- groups. `in` is always the header of the segment that contains the group. */

struct group_header {
    uint32_t size;     /* of the records */
    uint64_t number;   /* 1, 2, 3, … for the life of the log */
    uint64_t durable;  /* every group up to this number was synced when this one was written */
    uint64_t previous; /* chain of the group before; 0 (unknown) in version 1 */
    uint64_t chain; /* keyed checksum over the records, the header, the segment's id and the previous group's chain */
};
/* Bytes of a group's header in a segment of that version. */
size_t group_header_size(uint32_t version);
/* Sets h's size, previous and chain, and writes group_header_size(in->version) bytes to `out`. */
void group_header_write(uint8_t *out, struct group_header *h, struct span records, const struct segment_header *in,
                        uint64_t previous);
/* Reads the group at the start of `bytes`. LOG_END: zeros where a header would be. LOG_BAD: there is no valid group
 * that follows the chain `previous`. */
enum log_status group_read(struct span bytes, const struct segment_header *in, uint64_t previous,
                           struct group_header *h, struct span *records);
/* Reads the header alone. False: there is no header of this segment, or the bytes end before the group's records do. */
bool group_header_read(struct span bytes, const struct segment_header *in, struct group_header *h);
/* The first offset at or beyond `from` with a whole group of this segment, whatever group it follows; SIZE_MAX: none.
 * This is how damage in the middle is told from a torn tail. Version 1 has no key: there, anything that looks like a
 * group counts. */
size_t group_search(struct span bytes, size_t from, const struct segment_header *in, struct group_header *h);
/* The end of the group that reaches farthest, going by the sizes in whatever looks like a group's header, genuine or
 * not. */
uint64_t group_reach(struct span bytes);

/* ---- records */

struct record {
    enum record_type type;
    uint8_t version;
    struct span payload;
};
/* Appends a record's header. Append the payload next, then call record_end with the mark: it fills the header in. */
size_t record_begin(struct buf *b, enum record_type type);
void record_end(struct buf *b, size_t mark);
/* Takes the next record from `rest` (a group's records) and checks its checksum. */
enum log_status record_next(struct span *rest, struct record *out);

/* EVENTS and MOVED. Spans point into the record. */
struct run_record {
    uint32_t queue;
    uint64_t first, count;
    int64_t accepted_ms;
    struct span note;
    struct wire_reader events; /* in lane form */
    uint64_t bytes;            /* of the events, without their lane headers; set by run_read */
};
/* Appends a whole record from bare events. */
void run_write(struct buf *b, enum record_type type, const struct store_run *run);
/* The same from events that are in lane form already. */
void run_write_raw(struct buf *b, enum record_type type, const struct run_record *run, struct span lane);
/* False: malformed. Checks everything, down to each event's size. */
bool run_read(struct span payload, struct run_record *out);
/* Takes the next event: its bare bytes, and in lane form. False: there is none. */
bool run_next(struct run_record *run, struct span *event, struct span *lane);

/* SHARED. A target is one of the queues that have the run, and the sequence of the run's first event there. Encoded
 * ascending by queue. */
struct run_target {
    uint32_t queue;
    uint64_t first;
};
/* Walks through encoded targets. */
struct target_reader {
    struct wire_reader r;
    uint32_t left;
    uint64_t queue;
    uint64_t past; /* added to each first sequence */
};
struct shared_record {
    bool moved;
    uint32_t target_count; /* at least 1 */
    uint32_t noted;        /* index of the target that has `note`; the others have `other_note` */
    struct span targets;   /* encoded */
    uint64_t count;
    int64_t accepted_ms;
    struct span note, other_note;
    struct wire_reader events; /* as in struct run_record */
    uint64_t bytes;
};
/* Sorts the targets by queue and appends them, encoded. A queue may occur once. */
void targets_write(struct buf *b, struct run_target *targets, size_t count);
/* `past` is added to the first sequence of each target. */
struct target_reader targets_open(struct span encoded, uint32_t count, uint64_t past);
/* False after the last one, or where the bytes are malformed: then `left` is not 0. */
bool target_next(struct target_reader *t, struct run_target *out);
/* Appends a whole record from bare events; ignores `events` and `bytes` of `s`. */
void shared_write(struct buf *b, const struct shared_record *s, const struct store_event *events);
/* The same from events that are in lane form already. */
void shared_write_raw(struct buf *b, const struct shared_record *s, struct span lane);
/* False: malformed. Checks everything, down to each target and each event's size. */
bool shared_read(struct span payload, struct shared_record *out);
/* The run as one of its targets has it; `index`: the target's. */
struct run_record shared_run(const struct shared_record *s, uint32_t index, const struct run_target *t);
/* The run that one queue has in a record of events of any type. False: it has none, or the record is malformed. */
bool record_run_of(const struct record *r, uint32_t queue, struct run_record *out);
/* Reads a record of events of any type as a shared one: EVENTS and MOVED have one target, encoded into `own`. False:
 * it is no record of events, or malformed. */
#define OWN_TARGET_MAX 20u
bool record_shared(const struct record *r, struct shared_record *out, uint8_t own[OWN_TARGET_MAX]);

/* SETTLED: ranges of one queue's sequences that left, each with its cause and the bytes of its events. */
struct settled_range {
    uint64_t first, end; /* [first, end) */
    uint64_t bytes;
    enum store_cause cause;
};
struct settled_record {
    uint32_t queue;
    struct wire_reader ranges;
    uint64_t left; /* private */
};
void settled_write(struct buf *b, uint32_t queue, const struct settled_range *ranges, size_t count);
bool settled_read(struct span payload, struct settled_record *out);
enum log_status settled_range_next(struct settled_record *s, struct settled_range *out);

void forgotten_write(struct buf *b, uint32_t queue);
bool forgotten_read(struct span payload, uint32_t *queue);

/* TABLE: each queue's runs in this segment, ascending; then the shared runs by offset, each with its targets, or with
 * a mark that the run before has the same targets and this one continues it in each. */
struct table_entry {
    uint32_t queue;
    uint32_t count;
    uint64_t first;
    uint32_t offset; /* of the record's header, in the segment */
    uint32_t size;   /* of the record, header included */
};
#define TABLE_VERSION 2u /* of a record with shared runs; without any it is 1 */
struct table_item {
    struct table_entry e;  /* without queue and first in a shared run */
    uint32_t target_count; /* 0: not shared */
    uint64_t past;         /* `targets` are those of an earlier run; this one is so many events behind it */
    struct span targets;   /* encoded */
};
/* Sorts the entries by queue and sequence and appends the record. `shared` is ascending by offset. */
void table_write(struct buf *b, struct table_entry *entries, size_t count, const struct table_item *shared,
                 size_t shared_count);
/* An upper bound of what table_write appends; `targets`: bytes of all encoded targets. */
size_t table_bound(size_t count, size_t shared_count, size_t targets);
/* By how much that many more entries, shared runs and target bytes raise the bound. */
size_t table_growth(size_t count, size_t shared_count, size_t targets);

struct table_reader {
    struct wire_reader r;
    bool lists_shared;
    uint64_t left, shared_left; /* shared_left is known once left is 0 */
    bool begun_shared;
    uint64_t queue, end;
    struct table_item last; /* shared */
};
/* Borrows the record's bytes. False: not a table that this version can read. */
bool table_open(const struct record *r, struct table_reader *out);
enum log_status table_next(struct table_reader *t, struct table_item *out);
/* The entry of one queue in an item; false: it has none. The cursor, {0} before the first item of a table, saves
 * work: items that continue the one before share its targets' bytes, so the queue, which may be the thousandth
 * target, is searched for once. */
struct table_cursor {
    const uint8_t *targets;
    uint64_t first; /* of the queue in these targets; 0: it is not among them */
};
bool table_entry_of(struct table_cursor *in, const struct table_item *item, uint32_t queue, struct table_entry *out);

/* ------------------------------------------------------------------ checkpoints */

#define CHECKPOINT_FILE   "checkpoint"
#define CHECKPOINT_MAGIC  "SLUICECP"
#define CHECKPOINT_HEADER 32u /* magic, version, then size and checksum of the content that follows */
/* Of a whole checkpoint: the content's checksum, seeded with that of the header's first 24 bytes. */
uint64_t checkpoint_checksum(const struct buf *b);

#endif
