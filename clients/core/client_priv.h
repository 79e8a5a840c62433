/* What the files of the client share. Private to clients/core (and its tests).
 *
 *   client.c           new and free, frames in, tick, flush
 *   client_attach.c    attach, resume, back-off
 *   client_publish.c   what is published: numbering, window, sending
 *   client_outcome.c   what became of it: decisions, deadlines (client_records.c keeps both, client_block.c their bytes)
 *   client_consume.c   turns, credit, deliveries, settlements
 *   client_receipts.c  settlements by receipt
 *   client_call.c      control calls */
#ifndef SLUICE_CLIENT_PRIV_H
#define SLUICE_CLIENT_PRIV_H

#include "clients/core/client.h"

#include <uthash.h>
#include <utlist.h>

enum client_state { CLIENT_WAITING, CLIENT_ATTACHING, CLIENT_ATTACHED };

/* Entries, encoded as they go into a frame, one behind the other. A block of one destination begins with a Publish, so that it
 * becomes a frame where it lies, and the frame is what is kept. */
struct block {
    struct buf bytes;
    struct frame *frame;   /* that has the bytes now; NULL: they are in `bytes` */
    struct outlet *outlet; /* whose Publish it is; NULL: it cannot go as it lies any more, its entries are copied */
    struct early_publish publish;
    uint32_t entries; /* ever put into it */
    uint32_t holders; /* the undecided ones, and the client while it may take more */
};

enum record_state {
    RECORD_UNSENT,
    RECORD_SENT,
    RECORD_SKIP,     /* its publisher's time is up: a Skip is to be sent */
    RECORD_SKIPPED,  /* the Skip was sent */
    RECORD_REPORTED, /* told "unknown"; the broker's decision no longer interests anybody */
    RECORD_DECIDED,
};

/* One entry from its publish to its outcome. */
struct record {
    void *cookie; /* NULL: nobody wants to know */
    struct block *block;
    uint32_t at, content; /* where in the block what its entry says begins, and its bytes */
    uint32_t size;        /* of its event */
    uint32_t index;       /* in its publish */
    mono_t deadline;      /* of the wait */
    mono_t act;           /* when something must be done about it */
    uint8_t state;        /* enum record_state */
    bool continued, once; /* once: wait_ms was 0 */
    bool doomed; /* it continues a refused entry, so it is refused with it; a broker that starts anew is told so */
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
    uint64_t seen_told; /* the outcome the broker knows we have seen */
    mono_t seen_due;    /* to tell it of later ones by themselves; never: there are none */
    bool skips;         /* some records want a Skip */
    bool listed;        /* the attach that is being read has outcomes of it */
    mono_t act;         /* a lower bound of the records' act */
    UT_hash_handle hh;
};

struct consumption {
    char name[NAME_MAX_SIZE + 1];
    bool wanted; /* the program consumes */
    bool told;   /* the broker was told so in this session */
    bool leave;  /* a Leave is to be sent */
    enum turn_state state;
    uint64_t epoch;    /* of the current turn; 0: none */
    uint32_t number;   /* of this consumption: what carries another belongs to an earlier one */
    uint64_t received; /* the newest delivery number */
    uint64_t generation, generation_told, limit;
    struct settle *settles; /* to be sent */
    uint32_t settle_count, settle_capacity;
    UT_hash_handle hh;
    uint64_t released; /* newest delivery that went back unseen, until the broker has answered it; 0: none */
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
    uint64_t producer_epoch; /* under which we hold that id; 0: none yet */
    struct token attach_id;
    uint32_t attach_epoch; /* of the Hello; 0 before it came */
    struct token attach_token;
    mono_t echoed;     /* when the Hello was */
    mono_t attach_due; /* next attempt, or the end of this one */
    uint32_t attempts;
    bool control_opened;
    char trouble[512];
    enum { BYE_NOT_ASKED, BYE_ASKED, BYE_SENT } bye;

    struct link link;
    struct link_limits limits;
    struct buf out;
    bool out_comes_first; /* holds what must reach the broker before what is published next */
    int64_t session_timeout_ms;
    uint32_t max_event;
    uint64_t incarnation;

    struct outlet *outlets;
    struct outlet *last_outlet;           /* the one asked for last: most programs publish to few */
    struct block *open_block;             /* takes the next entry */
    struct block *lent_block;             /* whose bytes are `out`, until it is sealed */
    uint32_t lent_most;                   /* then `out` is full from this size on, for it is kept as long as they are */
    struct outlet *reserved_outlet;       /* whose entry is being written into it */
    struct buf spare;                     /* memory for the next block */
    uint64_t window_events, window_bytes; /* totals allowed */
    uint64_t sent_events, sent_bytes;     /* totals sent in this session */
    uint64_t undecided_events, undecided_bytes;
    uint64_t unsent_events, unsent_bytes;
    mono_t linger_due;

    struct consumption *consumptions;
    struct consumption *last_consumption; /* the one asked for last */
    struct receipt_settle *receipts;
    uint64_t next_request;
    struct pending_call *calls;
    struct client_stats stats;
};

/* client.c */
void client_linger(struct client *c);          /* what is about to wait may wait for company */
bool client_may_write(const struct client *c); /* can a flush write anything? */
struct token client_random(struct client *c);
void client_seal(struct client *c); /* what is in `out` becomes a frame */
/* Is the frame full? */
static inline bool client_frame_is_full(const struct client *c)
{
    return c->out.size >= (c->lent_block ? c->lent_most : c->config.frame_bytes);
}
/* Seals when the frame is full. False when the link has no room for another. */
bool client_next_frame(struct client *c);

/* client_attach.c */
void attach_start(struct client *c);
/* The link is in doubt: attach again, resuming the session or (keep_session false) beginning a new one. */
void attach_doubt(struct client *c, const char *why, bool keep_session);
void attach_tick(struct client *c);
/* True when the frame was a Hello. */
bool attach_hello(struct client *c, const struct frame_header *h, struct wire_reader bodies);
void attach_reply(struct client *c, const struct reply *reply);

/* client_publish.c */
void publish_write(struct client *c, bool wait); /* wait: a linger goes on */
mono_t publish_due(const struct client *c);
void publish_free(struct client *c);

/* client_outcome.c */
bool publish_confirm(struct client *c, struct body *b); /* false: malformed */
bool publish_refuse(struct client *c, const struct body *b);
void publish_tick(struct client *c);
/* Names of destinations with entries whose outcome is not known; the names are the outlets'. */
size_t publish_undecided(const struct client *c, const char **names, size_t most);
void publish_new_session(struct client *c, bool known, bool restarted, const struct outcomes *outcomes, size_t count);

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
bool call_reply(struct client *c, const struct reply *reply); /* false: no call's */
void call_attached(struct client *c);                         /* what was held goes out, and what was under way again */
void call_away(struct client *c);                             /* none is left in the socket */
void call_tick(struct client *c);
mono_t call_due(const struct client *c);
void call_free(struct client *c);

#endif
