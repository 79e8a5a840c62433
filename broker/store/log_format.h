/* The log's bytes: segments, groups (log_format.c), records (log_records.c, log_records_shared.c, log_table.c);
 * docs/log-format.md. Pure: bytes to structs and back.
 *
 *   segment  = header (64 B), groups, zeros, what an earlier life of the file left
 *   group    = header (44 B), records; written and synced as one
 *   record   = header (16 B) with type, version, size and its own checksum, payload
 *
 * A group's checksum covers the previous group's and is made with the log's secret key: whoever publishes chooses
 * bytes that lie in the log, and none of them may pass for a group where recovery looks for one.
 *
 * Numbers in headers are little-endian, those in payloads varints. To change a record's payload, raise its version
 * and keep reading the version before; a new record type or another header needs a new LOG_VERSION, which an older
 * broker refuses by name. */
#ifndef SLUICE_BROKER_LOG_FORMAT_H
#define SLUICE_BROKER_LOG_FORMAT_H

#include "broker/store/ranges.h"
#include "broker/store/store.h"
#include "proto/wire.h"

#define LOG_VERSION         3u
#define SEGMENT_HEADER_SIZE 64u
#define SEGMENT_KEY_SIZE    16u
#define GROUP_HEADER_SIZE   44u /* in a segment of LOG_VERSION, the only ones that are begun */
#define RECORD_HEADER_SIZE  16u

enum record_type {
    RECORD_EVENTS = 1, /* a run accepted by a queue */
    RECORD_MOVED,      /* the same events, copied out of a segment that is to be freed */
    RECORD_SETTLED,    /* events that left */
    RECORD_NOTE,       /* a word of the core's */
    RECORD_TABLE,      /* the last record of a sealed segment: where each queue's runs are */
    RECORD_FORGOTTEN,  /* a queue is gone; payload: its id as a varint */
    RECORD_SHARED = 8, /* a run that several queues have, accepted or moved: its events once */
};

enum log_status { LOG_BAD = -1, LOG_END = 0, LOG_OK = 1 };

/* ---- segments */

struct segment_header {
    uint32_t version;
    uint64_t id;
    uint64_t chain;                /* of the group before the segment's first */
    uint8_t key[SEGMENT_KEY_SIZE]; /* the log's secret; zeros in version 1 */
};
void segment_header_write(uint8_t out[SEGMENT_HEADER_SIZE], const struct segment_header *h);
/* LOG_END: all zeros, never written. LOG_BAD: anything else that is no header. A version above LOG_VERSION is LOG_OK:
 * look. */
enum log_status segment_header_read(struct span bytes, struct segment_header *h);

/* ---- groups. `in`: the header of the segment that they are in. */

struct group_header {
    uint32_t size;     /* of the records */
    uint64_t number;   /* 1, 2, 3, … for the life of the log */
    uint64_t durable;  /* every group up to this was synced when this one was written */
    uint64_t previous; /* chain of the group before; unknown (0) in version 1 */
    uint64_t chain; /* keyed checksum over the records, the header, the segment's id and the previous group's chain */
};
/* How long a group's header is in a segment of this version. */
size_t group_header_size(uint32_t version);
/* Fills h's size, previous and chain, and writes group_header_size(in->version) bytes. */
void group_header_write(uint8_t *out, struct group_header *h, struct span records, const struct segment_header *in,
                        uint64_t previous);
/* The group at the start of `bytes`. LOG_END: zeros where a header would be. LOG_BAD: no group that follows
 * `previous` is here. */
enum log_status group_read(struct span bytes, const struct segment_header *in, uint64_t previous,
                           struct group_header *h, struct span *records);
/* Its header alone; false: none of this segment is here, or not all of its records are. */
bool group_header_read(struct span bytes, const struct segment_header *in, struct group_header *h);
/* The first offset at or beyond `from` where a whole group of this segment stands, whatever it follows; SIZE_MAX when
 * there is none. Tells damage in the middle from a torn tail. In version 1, which has no key, it is what looks like
 * one. */
size_t group_search(struct span bytes, size_t from, const struct segment_header *in, struct group_header *h);
/* How far the groups in a segment's first bytes reach at most, as their headers say, true or not. */
uint64_t group_reach(struct span bytes);

/* ---- records */

struct record {
    enum record_type type;
    uint8_t version;
    struct span payload;
};
/* Appends a record's header; after the payload was appended, record_end fills it in. */
size_t record_begin(struct buf *b, enum record_type type);
void record_end(struct buf *b, size_t mark);
/* The next record of a group, checked. */
enum log_status record_next(struct span *rest, struct record *out);

/* EVENTS and MOVED. */
struct run_record {
    uint32_t queue;
    uint64_t first, count;
    int64_t accepted_ms;
    struct span note;
    struct wire_reader events; /* in lane form */
    uint64_t bytes;            /* of the events, without their lane headers; filled by run_read */
};
/* Appends a whole record; events[].event are bare. */
void run_write(struct buf *b, enum record_type type, const struct store_run *run);
/* The same with events already in lane form. */
void run_write_raw(struct buf *b, enum record_type type, const struct run_record *run, struct span lane);
/* Checks everything, down to each event's size. */
bool run_read(struct span payload, struct run_record *out);
/* One event after the other: bare bytes, and in lane form. */
bool run_next(struct run_record *run, struct span *event, struct span *lane);

/* SHARED. Whose the run is: each queue, and the sequence that the run's first event has there. Written down ascending
 * by queue. */
struct run_target {
    uint32_t queue;
    uint64_t first;
};
/* Targets as they are written down, one after the other. */
struct target_reader {
    struct wire_reader r;
    uint32_t left;
    uint64_t queue;
    uint64_t past; /* added to each first sequence */
};
struct shared_record {
    bool moved;
    uint32_t target_count; /* at least 1 */
    uint32_t noted;        /* which of them has `note`; the others have `other_note` */
    struct span targets;   /* encoded */
    uint64_t count;
    int64_t accepted_ms;
    struct span note, other_note;
    struct wire_reader events; /* as in struct run_record */
    uint64_t bytes;
};
/* Sorts the targets by queue and appends them, encoded. No queue comes twice. */
void targets_write(struct buf *b, struct run_target *targets, size_t count);
struct target_reader targets_open(struct span encoded, uint32_t count, uint64_t past);
/* False behind the last one, or where the bytes are malformed: then `left` is not 0. */
bool target_next(struct target_reader *t, struct run_target *out);
/* Appends a whole record; `events` and `bytes` of `s` are not looked at. The events are bare … */
void shared_write(struct buf *b, const struct shared_record *s, const struct store_event *events);
/* … or in lane form already. */
void shared_write_raw(struct buf *b, const struct shared_record *s, struct span lane);
bool shared_read(struct span payload, struct shared_record *out);
/* What its target number `index` has of it. */
struct run_record shared_run(const struct shared_record *s, uint32_t index, const struct run_target *t);
/* What one queue has of a record of events, whichever type that is; false: nothing, or it is malformed. */
bool record_run_of(const struct record *r, uint32_t queue, struct run_record *out);
/* A record of events of any type; one that is a single queue's has one target, encoded into `own`. False: it is none,
 * or malformed. */
#define OWN_TARGET_MAX 20u
bool record_shared(const struct record *r, struct shared_record *out, uint8_t own[OWN_TARGET_MAX]);

/* SETTLED: ranges of one queue's events that left, each with its cause and the bytes of its events. */
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

/* TABLE: of each queue the runs in this segment, ascending; then the shared runs by their place, each with its
 * targets, or with the word that they are those of the one before, going on where it ended. */
struct table_entry {
    uint32_t queue;
    uint32_t count;
    uint64_t first;
    uint32_t offset; /* of the record's header in the segment */
    uint32_t size;   /* of the record, header included */
};
#define TABLE_VERSION 2u /* of the record, where there are shared runs; else 1 */
struct table_item {
    struct table_entry e;  /* of a shared run: without queue and first */
    uint32_t target_count; /* 0: no shared one */
    uint64_t past;         /* the targets are those of an earlier run, so many events before */
    struct span targets;   /* encoded */
};
/* Sorts the entries by queue and sequence and appends the record. `shared`: ascending by offset. */
void table_write(struct buf *b, struct table_entry *entries, size_t count, const struct table_item *shared,
                 size_t shared_count);
/* The most that table_write appends for these, `targets`: bytes of all targets that are written down. */
size_t table_bound(size_t count, size_t shared_count, size_t targets);
/* … and how much more these make of it. */
size_t table_growth(size_t count, size_t shared_count, size_t targets);

struct table_reader {
    struct wire_reader r;
    bool lists_shared;
    uint64_t left, shared_left; /* shared_left: known once left is 0 */
    bool begun_shared;
    uint64_t queue, end;
    struct table_item last; /* shared */
};
/* False: this is no table that this version can read. The record's bytes are borrowed. */
bool table_open(const struct record *r, struct table_reader *out);
enum log_status table_next(struct table_reader *t, struct table_item *out);
/* What one queue has of an item; false: nothing. `in`: {0} before the first item of a walk through one table, whose
 * items share their targets' bytes where they go on: there the queue, which may be the thousandth, is looked for
 * once. */
struct table_cursor {
    const uint8_t *targets;
    uint64_t first; /* of the queue in these; 0: it is not among them */
};
bool table_entry_of(struct table_cursor *in, const struct table_item *item, uint32_t queue, struct table_entry *out);

/* ------------------------------------------------------------------ checkpoints */

#define CHECKPOINT_FILE   "checkpoint"
#define CHECKPOINT_MAGIC  "SLUICECP"
#define CHECKPOINT_HEADER 32u /* magic, version, size and checksum of what follows */
/* Of all of it: the header's first 24 bytes seed what covers the content. */
uint64_t checkpoint_checksum(const struct buf *b);

#endif
