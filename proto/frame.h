/* The data path's frames (proto/sluice.proto, message Frame): scan and write without unpacking.
 *
 * Reading: frame_open returns the header and a reader of bodies, frame_next one body after the other; each kind of
 * repeated element in a body has its own iterator. All spans point into the frame's bytes. Malformed input gives
 * FRAME_BAD; unknown fields and bodies are skipped.
 * Writing: bodies are appended to a buffer; the link (link.h) puts the header in front. */
#ifndef SLUICE_PROTO_FRAME_H
#define SLUICE_PROTO_FRAME_H

#include "proto/event.h"
#include "proto/token.h"
#include "proto/wire.h"

/* Bytes of an encoded header; always this size, so that it can be written in place. */
#define FRAME_HEADER_SIZE 51

/* Most bytes a frame may have; both ends refuse more. */
#define FRAME_MAX_SIZE (8u << 20)

enum frame_status { FRAME_BAD = -1, FRAME_END = 0, FRAME_OK = 1 };

struct frame_header {
    struct token token;
    uint32_t epoch;
    uint64_t sequence;
    uint64_t received;
    uint32_t stamp;
    uint32_t echo;
};

enum body_kind {
    BODY_HELLO = 1,
    BODY_PUBLISH,
    BODY_SKIP,
    BODY_SEEN,
    BODY_ACK,
    BODY_CREDIT,
    BODY_CONSUME,
    BODY_LEAVE,
    BODY_BYE,
    BODY_CONFIRM,
    BODY_REFUSE,
    BODY_DELIVER,
    BODY_SETTLED,
    BODY_IDLE,
    BODY_TURN,
    BODY_WINDOW,
    BODY_RECEIPT_ACK,
    BODY_RECEIPT_SETTLED,
};

enum settle_kind { SETTLE_ACK, SETTLE_NACK, SETTLE_EXTEND, SETTLE_RELEASE, SETTLE_DEFER, SETTLE_DROP };
#define SETTLE_LAST SETTLE_DROP
enum settle_result {
    SETTLED_ACKED,
    SETTLED_NACKED,
    SETTLED_EXTENDED,
    SETTLED_RELEASED,
    SETTLED_EXPIRED,
    SETTLED_UNKNOWN,
    SETTLED_DEFERRED,
    SETTLED_DROPPED
};
#define SETTLED_LAST SETTLED_DROPPED
enum turn_state { TURN_NONE, TURN_ACTIVE, TURN_STANDBY, TURN_REVOKED };

#define RUN_DURABLE   1u
#define RUN_DUPLICATE 2u
#define RUN_TOPIC     4u /* published to a topic: targets list the queues */

/* The longest lease after an extension, and the longest delay of a redelivery. */
#define LEASE_MAX_MS 43200000u

/* A settlement by receipt, of any session's delivery. */
struct receipt_ack {
    uint64_t request, ms; /* ms: as in struct settle */
    enum settle_kind kind;
    struct span receipt;
    uint32_t status;   /* NACK, DEFER, DROP: the application's status, kept with the event for people; 0: none */
    struct span error; /* NACK, DEFER, DROP: its text; cut to TROUBLE_ERROR_MAX */
};

/* A body without its repeated elements. Names are spans into the frame, not terminated and not checked: call name_valid
 * before using a destination or queue. */
struct body {
    enum body_kind kind;
    struct span name; /* destination or queue */
    union {
        struct {
            struct span request_id, ingress;
        } hello;
        struct {
            uint64_t first;
            uint32_t wait_ms;
            struct wire_reader entries;
        } publish;
        struct {
            uint64_t first, count;
        } skip;
        struct {
            uint64_t through;
        } seen;
        struct {
            uint64_t consumer_epoch;
            struct wire_reader settles;
        } ack;
        struct {
            uint64_t generation, limit;
        } credit;
        struct {
            uint32_t number;
        } consume;
        struct {
            struct wire_reader runs;
        } confirm;
        struct {
            uint64_t first, count, depth, capacity;
            uint32_t reason, retry_after_ms;
            struct span queue; /* of a topic: the queue that refused */
        } refuse;
        struct {
            uint64_t consumer_epoch, fence; /* fence 0: same as the epoch */
            uint32_t lease_ms, consumption;
            struct wire_reader batches;
        } deliver;
        struct {
            uint64_t consumer_epoch;
            struct wire_reader runs;
        } settled;
        struct {
            uint64_t generation;
        } idle;
        struct {
            enum turn_state state;
            uint64_t consumer_epoch;
            uint32_t reason, consumption;
            bool contended;
        } turn;
        struct {
            uint64_t events, bytes;
        } window;
        struct receipt_ack receipt_ack;
        struct {
            uint64_t request;
            enum settle_result result;
        } receipt_settled;
    } u;
};

/* When an event may be delivered, as its publisher says (docs/protocol.md, B.10). Zeroed: at once, and for ever. */
struct client_terms {
    int64_t expires_ms, not_before_ms; /* wall clock */
    uint64_t delay_ms;                 /* from its acceptance; instead of not_before_ms */
};

/* One entry of a Publish. */
struct entry {
    struct span event;
    uint32_t wait_ms; /* resolved: its own, or the Publish's */
    bool continued;
    struct span key;
    int64_t expires_ms;
    int64_t not_before_ms;
    uint64_t delay_ms; /* 0: none; else replaces not_before_ms */
    struct span dedup; /* EVENT_HASH_SIZE bytes (event.h), or none */
    bool topic;        /* the destination must be a topic */
};

struct run {
    uint64_t first, count, sequence;
    uint32_t flags;
    struct wire_reader targets; /* reading; see run_target_next */
};
/* Most deliveries that one Settle may cover; more is a protocol violation. */
#define SETTLE_COUNT_MAX 1000000u
struct settle {
    enum settle_kind kind;
    uint64_t first, count, ms;
    uint32_t status;   /* as in struct receipt_ack */
    struct span error; /* likewise */
};
struct settled_run {
    uint64_t first, count;
    enum settle_result result;
};
struct batch {
    uint64_t first_delivery, first_sequence;
    uint32_t attempt;
    struct span receipt;
    struct wire_reader events;
};

/* ---- reading */

/* FRAME_OK and the header and a reader over the bodies, or FRAME_BAD. A frame without bodies is a heartbeat:
 * wire_done(bodies) is then true at once. */
enum frame_status frame_open(struct span frame, struct frame_header *header, struct wire_reader *bodies);
/* The next body: FRAME_OK, FRAME_END or FRAME_BAD. */
enum frame_status frame_next(struct wire_reader *bodies, struct body *out);
/* Iterators over what repeats: FRAME_OK, FRAME_END or FRAME_BAD. A count of 0 in a run or settle is FRAME_BAD,
 * and so is first + count beyond 2^53. */
enum frame_status publish_next(struct body *publish, struct entry *out);
/* A hint: the dedup hash of the entry that publish_next will read next, if it is in the usual place; else empty.
 * Nothing is checked. */
struct span publish_peek_dedup(const struct body *publish);
enum frame_status ack_next(struct body *ack, struct settle *out);
enum frame_status confirm_next(struct body *confirm, struct run *out);
/* With RUN_TOPIC: one target queue after the other; *sequence is added to the run's sequence to give its first
 * entry's. */
enum frame_status run_target_next(struct run *run, struct span *queue, uint64_t *sequence);
enum frame_status settled_next(struct body *settled, struct settled_run *out);
enum frame_status deliver_next(struct body *deliver, struct batch *out);
enum frame_status batch_next(struct batch *batch, struct span *event);

/* ---- writing: each appends one whole body, unless it says begin */

void frame_header_write(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *header);

void frame_add_hello(struct buf *b, struct span request_id, struct span ingress);
void frame_add_skip(struct buf *b, struct span destination, uint64_t first, uint64_t count);
void frame_add_seen(struct buf *b, struct span destination, uint64_t through);
void frame_add_credit(struct buf *b, struct span queue, uint64_t generation, uint64_t limit);
void frame_add_consume(struct buf *b, struct span queue, uint32_t number);
void frame_add_leave(struct buf *b, struct span queue);
void frame_add_bye(struct buf *b);
void frame_add_refuse(struct buf *b, struct span destination, uint64_t first, uint64_t count, uint32_t reason,
                      uint64_t depth, uint64_t capacity, uint32_t retry_after_ms, struct span queue);
void frame_add_idle(struct buf *b, struct span queue, uint64_t generation);
void frame_add_turn(struct buf *b, struct span queue, enum turn_state state, uint64_t consumer_epoch, bool contended,
                    uint32_t reason, uint32_t consumption);
void frame_add_window(struct buf *b, uint64_t events, uint64_t bytes);
void frame_add_receipt_ack(struct buf *b, const struct receipt_ack *ack);
void frame_add_receipt_settled(struct buf *b, uint64_t request, enum settle_result result);

/* A body that is built in steps: begin, any number of elements, end. Nothing else may be appended to the buffer
 * in between. */
struct open_body {
    size_t body, inner;
};
struct open_body frame_begin_publish(struct buf *b, struct span destination, uint64_t first, uint32_t wait_ms);
void frame_add_entry(struct buf *b, const struct entry *entry, uint32_t publish_wait_ms);
/* A Publish that is built before the number of its first entry and the wait are known; frame_end_early_publish fills
 * them in. */
struct early_publish {
    struct open_body body;
    size_t numbers;
};
struct early_publish frame_begin_early_publish(struct buf *b, struct span destination);
void frame_end_early_publish(struct buf *b, struct early_publish early, uint64_t first, uint32_t wait_ms);
/* Appends an entry whose event (fewer than 16,000 bytes) was already written ENTRY_HEAD bytes behind the buffer's
 * end, with room for ENTRY_TAIL more after it. `hash`: its dedup, or NULL. */
#define ENTRY_HEAD 6u
#define ENTRY_TAIL (2u + EVENT_HASH_SIZE)
void frame_add_entry_in_place(struct buf *b, size_t event_size, const uint8_t *hash);
/* The content of the entry at that offset of a buffer; and the same entry appended again from its content, which has
 * no wait: one is added if it differs from the Publish's. */
struct span frame_entry_content(const struct buf *b, size_t offset);
void frame_add_entry_again(struct buf *b, struct span content, uint32_t wait_ms, uint32_t publish_wait_ms);
struct open_body frame_begin_ack(struct buf *b, struct span queue, uint64_t consumer_epoch);
void frame_add_settle(struct buf *b, const struct settle *settle);
struct open_body frame_begin_confirm(struct buf *b, struct span destination);
void frame_add_run(struct buf *b, const struct run *run);
/* The same for a topic, with the target queues. */
struct target;
void frame_add_topic_run(struct buf *b, const struct run *run, const struct target *targets, size_t count);
struct open_body frame_begin_settled(struct buf *b, struct span queue, uint64_t consumer_epoch);
void frame_add_settled_run(struct buf *b, const struct settled_run *run);
struct open_body frame_begin_deliver(struct buf *b, struct span queue, uint64_t consumer_epoch, uint32_t lease_ms,
                                     uint32_t consumption);
/* In an open Deliver, before its batches; omitted when 0. */
void frame_add_fence(struct buf *b, uint64_t fence);
/* A batch inside a Deliver: begin, events by frame_add_event or already encoded fields by buf_add, wire_end(mark). */
size_t frame_begin_batch(struct buf *b, uint64_t first_delivery, uint64_t first_sequence, uint32_t attempt,
                         struct span receipt);
/* Batch.events = 5, so an event on the wire is 0x2a, its size as a varint, its bytes. The store keeps events in
 * exactly this form, so that a run of them is sent with one copy. */
#define BATCH_EVENT_TAG 0x2a
void frame_add_event(struct buf *b, struct span event);
void frame_end(struct buf *b, struct open_body open);

/* Splits "RECEIPT.INDEX"; false if the text does not have that form. */
bool receipt_split(struct span text, struct span *receipt, uint64_t *index);

#endif
