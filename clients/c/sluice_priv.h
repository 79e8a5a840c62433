/* What the files of the library share:
 *
 *   sluice.c          opens, closes and inspects the connection
 *   sluice_thread.c   the library's thread and the command queue
 *   sluice_publish.c  publishing; sluice_terms.c: with options and receipts; sluice_direct.c: from a callback
 *   sluice_consume.c  subscriptions and settling; sluice_settle.c: with a reason, and extending a lease
 *   sluice_event.c    events to and from CloudEvents in protobuf
 *
 * One thread owns the binding and every field under "the thread's". Callers append commands to a queue under the
 * lock and wake the thread; it takes the whole queue at once, so that many callers cost one wake-up. Publishing from
 * a callback bypasses the queue: the thread passes the event to the client itself. */
#ifndef SLUICE_PRIV_H
#define SLUICE_PRIV_H

#include "clients/c/include/sluice.h"
#include "clients/net/binding.h"
#include "proto/event.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>
#include <utlist.h>

enum command_kind {
    COMMAND_PUBLISH,
    COMMAND_SUBSCRIBE,
    COMMAND_UNSUBSCRIBE,
    COMMAND_ACK,
    COMMAND_NACK,
    COMMAND_DEFER,
    COMMAND_DROP,
    COMMAND_EXTEND
};

/* The options of a sluice_publish_on, and its receipt callback. Allocated; freed once the receipt was given. */
struct publish_extras {
    struct client_terms terms;
    bool topic;
    sluice_receipt_fn *receipt;
    void *context;
};

struct command {
    enum command_kind kind;
    uint32_t count; /* PUBLISH: events, each a struct head (sluice_publish.c) and its bytes */
    uint32_t ms;    /* PUBLISH: the wait; NACK, DEFER: the delay; EXTEND: the lease */
    /* Offset in commands.bytes. PUBLISH: the queue's name with its NUL, then the events; NACK, DROP: the text */
    size_t at;
    uint32_t status, text_size; /* NACK, DROP: the application's status, and bytes of its text */
    uint64_t token;
    sluice_confirm_fn *confirm;
    void *context;                 /* of a single event */
    void **contexts;               /* owned copy; NULL: every event gets `context` */
    struct publish_extras *extras; /* owned; NULL: none */
    struct sluice_sub *sub;        /* NULL: the subscription ended before the command was carried out */
    bool own;                      /* UNSUBSCRIBE in a callback: nobody waits, the thread retires the subscription */
};

struct commands {
    struct command *items;
    size_t count, capacity;
    struct buf bytes;
};

#define SLUICE_FRAME_BYTES (512u << 10) /* a window of 256 events of 1 KiB is one */

#define RANDOM_SEED_SIZE   32u /* of randombytes_buf_deterministic */
#define EXTENSIONS_MAX     64u

/* Random bytes for event ids, generated ahead; the first ones are the seed of the next batch. */
struct id_source {
    uint8_t random[RANDOM_SEED_SIZE + 2048];
    size_t left; /* unused bytes after the seed */
    bool seeded;
};

#define TEXT_KEPT 128u

/* The strings of a delivery, kept: source and type are mostly those of the delivery before and need no new check. */
struct delivery_texts {
    char id[TEXT_KEPT], source[TEXT_KEPT], type[TEXT_KEPT]; /* each with its NUL */
    size_t source_size, type_size;                          /* 0: none yet */
};

/* A publish whose outcomes are awaited. */
struct pending {
    struct pending *prev, *next;
    sluice_confirm_fn *confirm;
    void *context;
    void **contexts;
    struct publish_extras *extras;
    uint64_t bytes;       /* counted in sluice.buffered until all outcomes are known */
    uint32_t count, left; /* events, and those without an outcome */
};

/* A delivery that the application will settle later. */
struct unsettled {
    uint64_t token;
    uint64_t delivery;
    mono_t deadline;
    UT_hash_handle hh;
};

struct sluice_sub {
    struct sluice_sub *prev, *next;
    struct sluice *connection;
    char queue[NAME_MAX_SIZE + 1];
    uint32_t credit;
    sluice_event_fn *on_event;
    void *context;
    /* the thread's: */
    bool running;
    bool ended; /* unsubscribed in a callback: no further callbacks */
    bool again; /* a new turn: all credit is to be granted anew */
    uint64_t epoch;
    uint64_t era;                /* raised by every turn: tokens of earlier ones are void */
    uint64_t granted;            /* deliveries the broker may still make */
    struct unsettled *unsettled; /* by deadline */
    mono_t retry;                /* when to ask for the queue again; MONO_NEVER: active or standing by */
    bool done;                   /* under the lock: unsubscribed */
};

struct sluice {
    pthread_t thread;
    _Atomic pthread_t runs_on; /* that thread, or libzmq's I/O thread while that waits (base/io_thread.h) */
    int io_thread;
    void *zmq;
    struct binding *binding;
    struct client *client;
    char *name, *source;
    size_t source_size;
    bool source_is_valid;
    struct buf plain; /* an encoded event without data, to be given an id; empty if `source` is not valid */
    int wake_fd;
    uint64_t buffer_bytes;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* attached, room, quiet, a subscription's end */
    struct commands queue;
    /* Ended subscriptions are kept for reuse: an application may still settle through one. */
    struct sluice_sub *subs, *ended_subs;
    uint64_t undecided; /* events */
    uint32_t waiting;   /* blocked calls, most waiting for `changed`; sluice_close waits for them to return */
    bool full;          /* a caller found no room: end the linger, no more events can join */
    bool hurry;         /* sluice_close waits: disable the linger */
    bool asleep;        /* the thread sleeps until woken … */
    bool lingers;       /* … or until a linger ends: publishes and acks until then need no wake-up */
    bool stop;
    atomic_uint_fast64_t buffered; /* bytes of publishes without an outcome; lowered under the lock only */
    atomic_bool has_publishes;     /* `queue` holds some, which a publish from a callback must not overtake */
    char attach_error[256];
    struct sluice_stats stats;
    struct id_source ids;

    /* the thread's: */
    struct commands taken;
    struct pending *pending, *spare;
    struct sluice_sub *last_sub;   /* of the newest delivery … */
    const char *last_queue;        /* … and the client's own pointer to its queue's name */
    uint64_t freed_bytes, decided; /* not yet subtracted from `buffered` and `undecided` */
    uint64_t published;            /* from callbacks, not yet added to `undecided` */
    struct one_thread threads;
    bool ending; /* publishing from callbacks is refused */
    struct id_source own_ids;
    struct now now;
    struct arena arena; /* strings of the current delivery */
    struct delivery_texts texts;
};

/* sluice.c */
/* Records for sluice_strerror, on this thread, what was wrong with an argument. Returns SLUICE_INVALID. */
int sluice_invalid(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a queue's or topic's name, which may be NULL. */
int sluice_invalid_name(const char *name);

/* sluice_thread.c */
/* Appends a command, whose fields the caller fills in. The lock is held. If *wake is set, call sluice_wake after
 * unlocking. */
struct command *sluice_command(struct sluice *s, enum command_kind kind, bool *wake);
void sluice_wake(struct sluice *s);
/* A call that was counted in `waiting` is about to return; the lock is held. */
void sluice_waited(struct sluice *s);
bool sluice_on_thread(const struct sluice *s);
/* The thread's function; arg: the connection. It starts work once its creator has released the lock. */
void *thread_run(void *arg);
/* For binding_open, with the connection as ctx. Everything else the client reports is read after each turn
 * (show_state). */
extern const struct client_handler thread_handler;

/* sluice_event.c */
/* Too large for any frame; checked first because computing with such a size might overflow. */
static inline bool sluice_is_oversized(const struct sluice_event *event)
{
    return event->size > FRAME_MAX_SIZE / 2;
}
/* An event about to be encoded, with a generated id if it has none. */
struct sluice_encoding {
    struct event event;
    struct attribute attributes[EXTENSIONS_MAX + 2];
    char id[37];
};
/* Prepares an event for encoding. *out points into itself and into `event`. `ids`: s->ids under the lock, s->own_ids
 * on the thread. Returns false if it is not a valid CloudEvent. */
bool sluice_prepare(const struct sluice *s, struct id_source *ids, const struct sluice_event *event,
                    struct sluice_encoding *out);
/* Makes s->plain. */
void sluice_prepare_plain(struct sluice *s);
/* Does the event give nothing but data? Then it is "plain". */
bool sluice_is_plain(const struct sluice *s, const struct sluice_event *event);
/* Encodes a plain event with a generated id into at most sluice_plain_most bytes. Returns the end. On the thread. */
size_t sluice_plain_most(const struct sluice *s, const struct sluice_event *event);
uint8_t *sluice_encode_plain(struct sluice *s, const struct sluice_event *event, uint8_t *to);
/* Fills in the event's part of a delivery; its strings are in s->texts and the arena. False: malformed bytes. */
bool sluice_decode(struct sluice *s, struct span encoded, struct sluice_delivery *out);

/* sluice_direct.c; on the thread */
/* May the thread bypass the command queue? Not while that holds publishes. */
bool direct_allowed(struct sluice *s);
int direct_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   sluice_confirm_fn *confirm, void *context);

/* sluice_publish.c */
/* Adds the bytes of one publish to `buffered`. Returns SLUICE_OK, TOO_LARGE or BUSY. */
int outbox_admit(struct sluice *s, uint64_t bytes);
/* As sluice_publish; takes over `extras` on success. */
int outbox_publish(struct sluice *s, const char *queue, const struct sluice_event *event, uint32_t wait_ms,
                   struct publish_extras *extras);
/* On the thread: */
struct pending *pending_new(struct sluice *s, uint32_t count, sluice_confirm_fn *confirm, void *context,
                            void **contexts);
void pending_free(struct sluice *s, struct pending *p);
void outbox_command(struct sluice *s, const struct command *c);
void outbox_outcome(struct sluice *s, struct pending *p, uint32_t index, uint32_t count,
                    const struct client_outcome *o);
void outbox_abandon(struct sluice *s); /* reports SLUICE_UNKNOWN for everything undecided */

/* sluice_terms.c; on the thread */
/* Publishes the command's single event through the client. hash NULL: its id was generated. */
bool extras_publish(struct sluice *s, const struct command *c, struct span event,
                    const uint8_t (*hash)[EVENT_HASH_SIZE], struct pending *p, enum reason *why);
/* Calls the receipt callback and frees `extras`. `o` NULL: the outcome is not from a broker. */
void extras_report(struct publish_extras *extras, enum reason why, const struct client_outcome *o);

/* sluice_consume.c */
/* As sluice_command, for a subscription; NULL if that has ended. The lock is held. */
struct command *sub_command_of(struct sluice_sub *sub, enum command_kind kind, bool *wake);
/* On the thread: */
void sub_command(struct sluice *s, const struct command *c);
void sub_delivery(struct sluice *s, const struct client_delivery *d);
void sub_turn(struct sluice *s, const char *queue, enum turn_state state, uint64_t epoch);
/* Once per loop turn: expires leases, grants credit, asks again for missing queues. Returns when to be called next. */
mono_t sub_tick(struct sluice *s);
/* After the thread has ended: marks all subscriptions as ended, so that blocked calls return. The lock is held. */
void sub_end_all(struct sluice *s);
void sub_free(struct sluice *s);

#endif
