/* What the files of the client share. Private to clients/core (and its tests).
 *
 *   client.c           new and free, frames in, tick, flush
 *   client_attach.c    attach, resume, back-off
 *   client_publish.c   what is published: numbering, window, sending
 *   client_outcome.c   outcomes: decisions, deadlines (client_records.c keeps the entries, client_block.c their bytes)
 *   client_consume.c   turns, credit, deliveries, settlements
 *   client_receipts.c  settlements by receipt
 *   client_call.c      control calls */
#ifndef SLUICE_CLIENT_PRIV_H
#define SLUICE_CLIENT_PRIV_H

#include "clients/core/client.h"

#include <uthash.h>
#include <utlist.h>

enum client_state { CLIENT_WAITING, CLIENT_ATTACHING, CLIENT_ATTACHED };

/* Consecutive entries, encoded as in a frame. A block of one destination begins with a Publish, so that it can become a
 * frame in place; then the frame owns the bytes. See client_block.h. */
struct block {
    struct buf bytes;
    struct frame *frame;   /* holds the bytes now; NULL: they are in `bytes` */
    struct outlet *outlet; /* whose Publish it is; NULL: spoiled, its entries are copied when sent */
    struct early_publish publish;
    uint32_t entries; /* ever added */
    uint32_t holders; /* the undecided entries, and the client while the block is open */
};

enum record_state {
    RECORD_UNSENT,
    RECORD_SENT,
    RECORD_SKIP,     /* its deadline has passed: a Skip is to be sent */
    RECORD_SKIPPED,  /* the Skip was sent */
    RECORD_REPORTED, /* reported as "unknown"; the broker's decision no longer matters */
    RECORD_DECIDED,
};

/* One entry from its publish to its outcome. */
struct record {
    void *cookie; /* NULL: forgotten, or reported */
    struct block *block;
    uint32_t at, content; /* offset and bytes of its content in the block */
    uint32_t size;        /* of its event */
    uint32_t index;       /* in its publish */
    mono_t deadline;      /* of the wait */
    mono_t act;           /* when the next step is due: skip, or report */
    uint8_t state;        /* enum record_state */
    bool continued, once; /* once: wait_ms was 0 */
    bool doomed; /* it continues a refused entry, so it is refused too; skipped when sent again to a restarted broker */
};

/* A FIFO of records in a ring. */
struct records {
    struct record *ring;
    uint32_t capacity, head, count; /* capacity is a power of two */
};

/* A destination as the publisher sees it. */
struct outlet {
    char name[NAME_MAX_SIZE + 1];
    size_t name_size;
    struct records sent; /* numbered: the first is number `base` */
    uint64_t base;       /* every number below is decided */
    struct records unsent;
    uint64_t resend;    /* 0, or the number to send again from (after a lost session) */
    uint64_t seen_told; /* the newest outcome that the broker was told we have seen */
    mono_t seen_due;    /* when to tell it of later ones at the latest; MONO_NEVER: there are none */
    bool skips;         /* some records are in RECORD_SKIP */
    bool listed;        /* the attach reply being read has outcomes of it */
    mono_t act;         /* a lower bound of the records' `act` */
    UT_hash_handle hh;
};

struct consumption {
    char name[NAME_MAX_SIZE + 1];
    bool wanted; /* the program consumes */
    bool told;   /* the broker was told so in this session */
    bool leave;  /* a Leave is to be sent */
    enum turn_state state;
    uint64_t epoch;    /* of the current turn; 0: none */
    uint32_t number;   /* of this consumption: turns and deliveries with another number belong to an earlier one */
    uint64_t received; /* the newest delivery number */
    uint64_t generation, generation_told, limit;
    struct settle *settles; /* to be sent */
    uint32_t settle_count, settle_capacity;
    UT_hash_handle hh;
    uint64_t released; /* newest delivery released without being shown and not yet answered by the broker; 0: none */
};

struct receipt_settle {
    uint64_t request;
    struct receipt_ack ack; /* its texts lie in `texts` */
    bool sent;
    mono_t deadline;
    UT_hash_handle hh;
    uint8_t texts[];
};

struct pending_call {
    struct token id;
    struct buf packed;
    void *cookie;
    mono_t deadline, resend;
    struct pending_call *prev, *next;
};

struct client {
    struct client_config config;
    char *name, *inbox, *no_answer;
    const struct client_handler *handler;
    void *ctx;
    struct now now;
    uint64_t random_counter;

    enum client_state state;
    struct token session; /* zero: none to resume */
    struct token producer;
    uint64_t producer_epoch; /* under which this client holds that id; 0: none yet */
    struct token attach_id;
    uint32_t attach_epoch; /* of the Hello; 0 before it came */
    struct token attach_token;
    mono_t echoed;     /* when the Hello was echoed */
    mono_t attach_due; /* next attempt, or the end of this one */
    uint32_t attempts;
    bool control_opened;
    char attach_error[512];
    enum { BYE_NOT_ASKED, BYE_ASKED, BYE_SENT } bye;

    struct link link;
    struct link_limits limits;
    struct buf out;
    bool out_comes_first; /* `out` must reach the broker before what is published next */
    int64_t session_timeout_ms;
    uint32_t max_event;
    uint64_t incarnation;

    struct outlet *outlets;
    struct outlet *last_outlet;           /* the one looked up last: most programs publish to few */
    struct block *open_block;             /* takes the next entry */
    struct block *lent_block;             /* its bytes are `out`, until that is sealed; NULL: none */
    uint32_t lent_most;                   /* with a lent block, `out` is full from this size on: all of it is kept */
    struct outlet *reserved_outlet;       /* client_reserve's */
    struct buf spare;                     /* memory for the next block */
    uint64_t window_events, window_bytes; /* totals allowed */
    uint64_t sent_events, sent_bytes;     /* totals sent in this session */
    uint64_t undecided_events, undecided_bytes;
    uint64_t unsent_events, unsent_bytes;
    mono_t linger_due;

    struct consumption *consumptions;
    struct consumption *last_consumption; /* the one looked up last */
    struct receipt_settle *receipts;
    uint64_t next_request;
    struct pending_call *calls;
    struct client_stats stats;
};

/* client.c */
void client_linger(struct client *c);          /* begins a linger, if configured and none is running */
bool client_may_write(const struct client *c); /* can a flush write anything? */
struct token client_random(struct client *c);
void client_seal(struct client *c); /* turns `out` into a frame and sends it */
static inline bool client_frame_is_full(const struct client *c)
{
    return c->out.size >= (c->lent_block ? c->lent_most : c->config.frame_bytes);
}
/* Seals when the frame is full. False when the link has no room for another. */
bool client_next_frame(struct client *c);

/* client_attach.c */
void attach_start(struct client *c);
/* The link is in doubt: attaches again, resuming the session, or starting a new one if keep_session is false. */
void attach_doubt(struct client *c, const char *why, bool keep_session);
void attach_tick(struct client *c);
/* True when the frame was a Hello. */
bool attach_hello(struct client *c, const struct frame_header *h, struct wire_reader bodies);
void attach_reply(struct client *c, const struct reply *reply);

/* client_publish.c */
void publish_write(struct client *c, bool wait); /* wait: a linger is running, new entries stay */
mono_t publish_due(const struct client *c);
void publish_free(struct client *c);

/* client_outcome.c */
bool publish_confirm(struct client *c, struct body *b); /* false: malformed */
bool publish_refuse(struct client *c, const struct body *b);
void publish_tick(struct client *c);
/* Names of destinations with undecided entries, at most `most`; the strings belong to the outlets. */
size_t publish_undecided(const struct client *c, const char **names, size_t most);
/* Whether the new session's broker, which lists that many destinations, knows nothing of what was ever numbered under
 * this producer id. Then another id is needed: a number must never be given twice under one id, because this broker, or
 * another state of its data, may know the first event of that number. */
bool publish_is_forgotten(const struct client *c, bool known, bool restarted, size_t listed);
void publish_new_session(struct client *c, bool restarted, const struct outcomes *outcomes, size_t count);
void publish_new_producer(struct client *c); /* the producer id is new: the numbering begins at 1 */

/* client_consume.c */
bool consume_turn(struct client *c, const struct body *b);
bool consume_deliver(struct client *c, struct body *b);
bool consume_settled(struct client *c, struct body *b);
void consume_idle(struct client *c, const struct body *b);
bool consume_write(struct client *c, bool wait); /* false: the link has no room for all of it */
void consume_new_session(struct client *c);
void consume_free(struct client *c);

/* client_receipts.c */
void receipts_settled(struct client *c, const struct body *b);
bool receipts_write(struct client *c); /* false: the link has no room for all of it */
void receipts_tick(struct client *c);
mono_t receipts_due(const struct client *c);
void receipts_new_session(struct client *c);
void receipts_free(struct client *c);

/* client_call.c */
bool call_reply(struct client *c, const struct reply *reply); /* false: it answers no call */
void call_attached(struct client *c);                         /* sends held calls, and repeats pending ones */
void call_away(struct client *c);                             /* drops what the socket still holds */
void call_tick(struct client *c);
mono_t call_due(const struct client *c);
void call_free(struct client *c);

#endif
